"""The way between a worker and its master, which can be cut: real packets where that is allowed.

With the right to do so: a network namespace of its own, joined by a veth pair; packets are
dropped by rules in that namespace, and its link goes down. Else a TCP proxy on loopback loses
bytes, or holds them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from contextlib import suppress

from fault_harness.fleet import Way
from fault_harness.proxy import Proxy


class Wire(ABC):
    """Between one namespace, or proxy, and the master. `listen` is where the master must be."""

    listen = "127.0.0.1:0"
    told = ""

    @abstractmethod
    async def open(self, master: str) -> None:
        """Joins it to a master that listens now."""

    @abstractmethod
    def way(self) -> Way:
        """Says how a process is started whose way to the master this is."""

    @abstractmethod
    async def cut(self, *, to_master: bool, from_master: bool) -> None:
        """Loses everything in one direction, or both; nobody is told."""

    @abstractmethod
    async def down(self) -> None:
        """Takes the link down."""

    @abstractmethod
    async def mend(self) -> None:
        """Lets everything pass again."""

    @abstractmethod
    async def close(self) -> None:
        """Leaves nothing behind."""


class Namespace(Wire):
    """Real packets. Its rules and its link are its own: nobody else's traffic is touched."""

    told = "network namespace, veth, iptables DROP"

    def __init__(self) -> None:
        mark = os.getpid() % 60_000
        self._name = f"pwf{mark}"
        self._near, self._far = f"pwfn{mark}", f"pwff{mark}"
        net = f"10.231.{mark // 64 % 256}.{mark % 64 * 4}".rpartition(".")
        self._host = f"{net[0]}.{int(net[2]) + 1}"
        self._inside = f"{net[0]}.{int(net[2]) + 2}"
        self._address = ""
        self.listen = f"{self._host}:0"
        try:
            _run("ip", "netns", "add", self._name)
            _run("ip", "link", "add", self._near, "type", "veth", "peer", "name", self._far)
            _run("ip", "link", "set", self._far, "netns", self._name)
            _run("ip", "addr", "add", f"{self._host}/30", "dev", self._near)
            _run("ip", "link", "set", self._near, "up")
            self._in("ip", "addr", "add", f"{self._inside}/30", "dev", self._far)
            self._in("ip", "link", "set", self._far, "up")
            self._in("ip", "link", "set", "lo", "up")
            self._in("iptables", "-w", "-L", "-n")
        except BaseException:
            self._remove()
            raise

    async def open(self, master: str) -> None:
        self._address = master

    def way(self) -> Way:
        return Way(("ip", "netns", "exec", self._name), {"PULLWORK_ADDRESS": self._address})

    async def cut(self, *, to_master: bool, from_master: bool) -> None:
        for wanted, chain in ((to_master, "OUTPUT"), (from_master, "INPUT")):
            if wanted:
                self._in("iptables", "-w", "-A", chain, "-j", "DROP")

    async def down(self) -> None:
        self._in("ip", "link", "set", self._far, "down")

    async def mend(self) -> None:
        self._in("iptables", "-w", "-F")
        self._in("ip", "link", "set", self._far, "up")

    async def close(self) -> None:
        self._remove()

    def _remove(self) -> None:
        for words in (("link", "del", self._near), ("netns", "del", self._name)):
            with suppress(OSError, subprocess.CalledProcessError):
                _run("ip", *words)

    def _in(self, *words: str) -> None:
        _run("ip", "netns", "exec", self._name, *words)


class ProxyWire(Wire):
    """Loopback, and bytes that get lost in between."""

    told = "TCP proxy: this user may make no network namespace"

    def __init__(self) -> None:
        self._proxy: Proxy

    async def open(self, master: str) -> None:
        self._proxy = await Proxy(master).__aenter__()

    def way(self) -> Way:
        return Way(env={"PULLWORK_ADDRESS": self._proxy.address})

    async def cut(self, *, to_master: bool, from_master: bool) -> None:
        self._proxy.lose_requests, self._proxy.lose_replies = to_master, from_master

    async def down(self) -> None:
        self._proxy.open.clear()

    async def mend(self) -> None:
        lost = self._proxy.lose_requests or self._proxy.lose_replies
        self._proxy.lose_requests = self._proxy.lose_replies = False
        self._proxy.open.set()
        if lost:  # a connection with a hole in it is of no more use to anybody
            await self._proxy.cut()

    async def close(self) -> None:
        if hasattr(self, "_proxy"):
            await self._proxy.__aexit__(None, None, None)


def make_wire() -> Wire:
    """Makes the best that this machine allows."""
    if os.geteuid() == 0 and shutil.which("ip") and shutil.which("iptables"):
        with suppress(OSError, subprocess.CalledProcessError):
            return Namespace()
    return ProxyWire()


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=10)
