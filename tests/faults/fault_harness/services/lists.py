"""What runs, from the engine's own list or the kernel's, and ways to hurt it there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from fault_harness.services.engine import IMAGE, EngineClient
from fault_harness.services.judge import Found
from fault_harness.services.program import command

# Every program of a run has it in its environment, with a value of this run's own.
TOKEN = "HARNESS_RUN"
# Those of the worker's.
CLUSTER_LABEL = "pullwork.cluster"
INSTANCE_LABEL = "pullwork.instance"
SERVICE_LABEL = "pullwork.service"
NODE_LABEL = "pullwork.node"
CONTAINER_MEMORY = 96 * 1024 * 1024


class OwnList(Protocol):
    """What there is, whatever the master says."""

    runner: str

    async def found(self) -> tuple[Found, ...]:
        """Returns all programs of this run, those that ended and lie about too."""

    async def kill(self, it: Found) -> None:
        """Kills a program without a word."""

    async def stop(self, it: Found) -> None:
        """Asks a program to end, past its node."""

    async def freeze(self, it: Found) -> None:
        """Stops a program in its tracks."""

    async def remove(self, it: Found) -> None:
        """Leaves nothing of a program."""

    async def clean(self) -> None:
        """Removes everything of this run."""

    def spec(self, source: str) -> dict[str, Any]:
        """Returns those parts of a service that are special to what runs it."""

    def broken(self) -> dict[str, Any]:
        """Returns a change of a service that can't run."""


class Containers:
    """Those of an engine."""

    runner = "container"

    def __init__(self, engine: EngineClient, token: str) -> None:
        self.engine = engine
        self._token = token

    async def found(self) -> tuple[Found, ...]:
        """Returns all containers of the engine that Pullwork made."""
        return tuple(
            Found(
                handle=it["Id"],
                instance=it["Labels"].get(INSTANCE_LABEL, ""),
                service=it["Labels"].get(SERVICE_LABEL, ""),
                node=it["Labels"].get(NODE_LABEL, ""),
                live=it["State"] in {"running", "paused", "restarting"},
                stuck=it["State"] in {"removing", "dead"},
            )
            for it in await self.engine.containers(INSTANCE_LABEL)
            if it["Labels"].get(TOKEN, self._token) == self._token
        )

    async def kill(self, it: Found) -> None:
        """Does what `docker kill` does."""
        await self.engine.signal(it.handle, "SIGKILL")

    async def stop(self, it: Found) -> None:
        """Does what `docker stop` does."""
        await self.engine.stop(it.handle)

    async def freeze(self, it: Found) -> None:
        """Stops its program in its tracks; the engine still calls it running."""
        told = await self.engine.call("GET", f"/containers/{it.handle}/json")
        first = int(told["State"]["Pid"])
        # The first is the engine's own, which passes signals on and reaps.
        children = Path(f"/proc/{first}/task/{first}/children")
        for pid in (await asyncio.to_thread(children.read_text)).split() or [str(first)]:
            os.kill(int(pid), signal.SIGSTOP)

    async def remove(self, it: Found) -> None:
        """Does what `docker rm -f` does."""
        await self.engine.remove(it.handle)

    async def clean(self) -> None:
        """Removes all of them."""
        for it in await self.found():
            await self.remove(it)

    def spec(self, source: str) -> dict[str, Any]:
        """An image, and a port in the container."""
        return {
            "image": IMAGE,
            "command": command("python3", source),
            "ports": [{"name": "http", "port": 8080}],
            "resources": {"memory_bytes": str(CONTAINER_MEMORY)},
        }

    def broken(self) -> dict[str, Any]:
        """An image that there is not, and no registry that could have it."""
        return {"image": "127.0.0.1:9/no-such-image:1"}


class Processes:
    """Those of this machine that carry the token of this run."""

    runner = "process"

    def __init__(self, token: str) -> None:
        self._mark = f"{TOKEN}={token}".encode()

    async def found(self) -> tuple[Found, ...]:
        """Reads the kernel's list."""
        return tuple(await asyncio.to_thread(lambda: list(self._read())))

    def _read(self) -> Iterator[Found]:
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                variables = (folder / "environ").read_bytes().split(b"\0")
                if self._mark not in variables:
                    continue
                # Its work folder is …/CLUSTER/NODE/TASK/work.
                node = Path(os.readlink(folder / "cwd")).parts[-3]
            except OSError:
                continue  # it ended meanwhile
            told = dict(it.decode().split("=", 1) for it in variables if b"=" in it)
            instance, service = told.get("PULLWORK_INSTANCE", ""), told.get("PULLWORK_SERVICE", "")
            yield Found(folder.name, instance, service, node)

    def _signal(self, it: Found, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(it.handle), number)

    async def kill(self, it: Found) -> None:
        """Kills the program, not what watches over it."""
        self._signal(it, signal.SIGKILL)

    async def stop(self, it: Found) -> None:
        """Sends what an operator's `kill` sends."""
        self._signal(it, signal.SIGTERM)

    async def freeze(self, it: Found) -> None:
        """Stops it in its tracks."""
        self._signal(it, signal.SIGSTOP)

    async def remove(self, it: Found) -> None:
        """Kills it; the kernel keeps nothing of it."""
        await self.kill(it)

    async def clean(self) -> None:
        """Kills all of them."""
        for it in await self.found():
            await self.kill(it)

    def spec(self, source: str) -> dict[str, Any]:
        """No image, and a free port of the machine."""
        return {"command": command(sys.executable, source), "ports": [{"name": "http"}]}

    def broken(self) -> dict[str, Any]:
        """A program that there is not."""
        return {"command": ["/nonexistent/program"]}
