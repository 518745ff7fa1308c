"""Instances that a test starts and kills itself: real processes, told to a catalogue at once."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from listed_instances import LABELS, ListedInstances, instance, metrics_port

from pullwork_master.gateway.discovery.catalogue import Endpoint

PROGRAM = Path(__file__).with_name("answering.py")


@dataclass(frozen=True)
class Started:
    """An instance, and the process that it is."""

    endpoints: tuple[Endpoint, ...]
    popen: subprocess.Popen[str]


class InstancesByHand:
    """Starts them, and lists those that run."""

    def __init__(self, listed: ListedInstances, folder: Path, stack: ExitStack) -> None:
        self._listed = listed
        self._folder = folder
        self._stack = stack
        self._started: dict[str, Started] = {}
        self._numbers: dict[str, int] = {}
        # Of all services.
        self.labels = LABELS

    def start(self, service: str) -> str:
        """Starts one more of a service; returns its id."""
        number = self._numbers[service] = self._numbers.get(service, 0) + 1
        name = f"{service}-{number}"
        popen = subprocess.Popen(
            [sys.executable, PROGRAM, name],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._stack.callback(_end, popen)
        assert popen.stdout is not None
        port, metrics = (int(word) for word in popen.stdout.readline().split())
        first = replace(instance(service, number, port), labels=self.labels)
        self._started[name] = Started((first, metrics_port(first, metrics)), popen)
        self._tell(service)
        return name

    def kill(self, name: str, *, tell: bool = True) -> None:
        """Kills one; without `tell` nobody has noticed yet."""
        _end(self._started[name].popen)
        if tell:
            self.forget(name)

    def forget(self, name: str) -> None:
        """Takes one off the list."""
        gone = self._started.pop(name)
        self._tell(gone.endpoints[0].service)

    def ail(self, name: str, *, healthy: bool = False) -> None:
        """Says of one that it is not well, or well again."""
        it = self._started[name]
        endpoints = tuple(replace(each, healthy=healthy) for each in it.endpoints)
        self._started[name] = replace(it, endpoints=endpoints)
        self._tell(it.endpoints[0].service)

    def _tell(self, service: str) -> None:
        self._listed.put(
            service,
            [
                endpoint
                for _, each in sorted(self._started.items())
                for endpoint in each.endpoints
                if endpoint.service == service
            ],
        )


def _end(popen: subprocess.Popen[str]) -> None:
    popen.kill()
    popen.wait()
    if popen.stdout is not None:
        popen.stdout.close()
