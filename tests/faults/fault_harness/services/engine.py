"""A container engine of the harness's own, that may be killed without hurting anybody else's.

It is a `dockerd` in a folder, with its own socket, containers, network bridge and containerd. It
touches no rules of the machine's firewall: ports are published by its proxy programs alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import httpx
from cluster import until

from fault_harness.fault import Missing

IMAGE = "pullwork-base"
START_S = 60.0
CONTAINERD = """\
version = 2
root = "{folder}/containerd"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{folder}/containerd.sock"
"""


def why_no_engine() -> str:
    """Returns why containers can't run here, or nothing."""
    if shutil.which("docker") is None:
        return "there is no program `docker`"
    asked = subprocess.run(
        ["docker", "image", "inspect", IMAGE], capture_output=True, text=True, check=False
    )
    return asked.stderr.strip().splitlines()[-1] if asked.returncode else ""


def check_own_engine() -> None:
    """Raises Missing if this machine gives no engine of one's own."""
    if os.geteuid() != 0:
        raise Missing("an engine of the harness's own needs root")
    for program in ("dockerd", "containerd", "ip"):
        if shutil.which(program) is None:
            raise Missing(f"there is no program `{program}`")


class EngineClient:
    """The engine's own API, with nothing of Pullwork in between."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        transport = httpx.AsyncHTTPTransport(uds=str(socket))
        self._http = httpx.AsyncClient(
            transport=transport, base_url="http://localhost", timeout=httpx.Timeout(30)
        )

    async def close(self) -> None:
        """Closes its connections."""
        await self._http.aclose()

    async def call(self, verb: str, path: str, **more: Any) -> Any:
        """Returns the JSON of an answer; raises httpx.HTTPError if there is none, or no 2xx."""
        answer = await self._http.request(verb, path, **more)
        answer.raise_for_status()
        if answer.headers.get("content-type", "").startswith("application/json"):
            return json.loads(answer.content or b"null")
        return None

    async def containers(self, label: str = "") -> list[dict[str, Any]]:
        """Returns all containers with a label, those that ended too."""
        filters = json.dumps({"label": [label]} if label else {})
        found: list[dict[str, Any]] = await self.call(
            "GET", "/containers/json", params={"all": "true", "filters": filters}
        )
        return found

    async def signal(self, container: str, name: str) -> None:
        """Sends a signal to the program of a container."""
        await self.call("POST", f"/containers/{container}/kill", params={"signal": name})

    async def stop(self, container: str) -> None:
        """Does what `docker stop` does."""
        await self.call("POST", f"/containers/{container}/stop", params={"t": 2})

    async def remove(self, container: str) -> None:
        """Does what `docker rm -f` does."""
        await self.call("DELETE", f"/containers/{container}", params={"force": "true"})

    async def pause(self, container: str) -> None:
        """Does what `docker pause` does."""
        await self.call("POST", f"/containers/{container}/pause")

    async def run(self, name: str, words: list[str], labels: dict[str, str]) -> str:
        """Starts a container that Pullwork knows nothing of; returns its id."""
        body = {"Image": IMAGE, "Cmd": words, "Labels": labels}
        made = await self.call("POST", "/containers/create", params={"name": name}, json=body)
        container: str = made["Id"]
        await self.call("POST", f"/containers/{container}/start")
        return container


class OwnEngine:
    """A dockerd in a folder; use it as `async with`.

    containerd, which holds the containers, is a service beside it as on a server, so that it
    outlives the death of dockerd.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Names of sockets and network links are short by law.
        self._short = Path(tempfile.mkdtemp(prefix="pwf-"))
        self._bridge = f"pwf{os.getpid()}"[:15]
        self._log = folder / "engine.log"
        self._popen: subprocess.Popen[bytes]
        self._containerd: subprocess.Popen[bytes]
        self.socket = self._short / "engine.sock"

    async def __aenter__(self) -> OwnEngine:
        check_own_engine()
        subnet = f"10.213.{os.getpid() % 250}.1/24"
        await _run("ip", "link", "add", self._bridge, "type", "bridge")
        await _run("ip", "addr", "add", subnet, "dev", self._bridge)
        await _run("ip", "link", "set", self._bridge, "up")
        config = self._short / "containerd.toml"
        config.write_text(CONTAINERD.format(folder=self._short))
        self._containerd = self._begin("containerd", "--config", str(config))
        await self.start()
        await self._take_image()
        return self

    async def __aexit__(self, *_: object) -> None:
        client = EngineClient(self.socket)
        try:
            for container in await client.containers():
                await client.remove(container["Id"])
        except httpx.HTTPError:
            pass
        await client.close()
        self.thaw()
        for service in (self._popen, self._containerd):
            service.terminate()
            await asyncio.to_thread(service.wait, 60)
        await _run("ip", "link", "del", self._bridge)
        for mount in _mounts_in(self._short):
            await _run("umount", "--lazy", mount)
        await asyncio.to_thread(shutil.rmtree, self._short, ignore_errors=True)

    async def start(self) -> None:
        """Starts it, or starts it again, and waits until it answers."""
        words = [
            *("dockerd", "--data-root", str(self._short / "data"), "--log-level", "warn"),
            *("--exec-root", str(self._short / "exec"), "--pidfile", str(self._short / "pid")),
            *("--host", f"unix://{self.socket}", "--bridge", self._bridge),
            *("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
            *("--containerd", str(self._short / "containerd.sock")),
        ]
        self._popen = self._begin(*words)
        await until(self._answers, "the engine answers", START_S)

    def _begin(self, *words: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    async def _answers(self) -> bool:
        assert self._popen.poll() is None, self._log.read_text()[-2000:]
        client = EngineClient(self.socket)
        try:
            await client.call("GET", "/version")
        except httpx.HTTPError:
            return False
        finally:
            await client.close()
        return True

    async def _take_image(self) -> None:
        """Brings the base image over from the machine's engine: there is no registry to ask."""
        archive = self._short / "image.tar"
        await _run("docker", "save", "--output", str(archive), IMAGE)
        await _run("docker", "--host", f"unix://{self.socket}", "load", "--input", str(archive))
        archive.unlink()

    async def stop(self) -> None:
        """Ends it as an operator does; its containers end with it."""
        self._popen.terminate()
        await asyncio.to_thread(self._popen.wait, 60)

    async def kill(self) -> None:
        """Kills it without a word."""
        self._popen.kill()
        await asyncio.to_thread(self._popen.wait, 60)

    def freeze(self) -> None:
        """Stops it in its tracks."""
        self._popen.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        self._popen.send_signal(signal.SIGCONT)


def _mounts_in(folder: Path) -> list[str]:
    """Returns what is mounted there, the innermost first."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return [it for it in reversed(mounts) if it.startswith(f"{folder}/")]


async def _run(*words: str) -> None:
    """Runs a program to its end; raises CalledProcessError with what it said."""
    await asyncio.to_thread(subprocess.run, words, check=True, capture_output=True)
