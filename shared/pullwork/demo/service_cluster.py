"""The processes of the demo of services: a master, nodes, and what these keep running."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import psutil

from pullwork.demo import web
from pullwork.demo.cluster import Cluster, DemoError, Member
from pullwork.service_spec import Port

GONE_S: Final = 10.0
CONTAINER_PORT: Final = 8000


class Runner(enum.StrEnum):
    """What the demo's instances are."""

    process = "process"
    container = "container"


class ServiceCluster(Cluster):
    """A master, nodes with their state in folders of their own, and a look at the machine."""

    def __init__(self, folder: Path, runner: Runner, image: str) -> None:
        super().__init__(folder, slots=1)
        self.nodes: dict[str, Member] = {}
        self.runner = runner
        self.image = image if runner is Runner.container else ""
        self._state = folder / "state"
        # Nodes of other clusters on this machine have other names, and so have their containers.
        self.mark = folder.name.rpartition("-")[2]

    async def start_node(self, name: str) -> Member:
        """Starts a worker that keeps instances, or starts it again; it registers by itself."""
        node = await self._start(
            name,
            "pullwork_worker",
            *("--offer", self.runner, "--node", name, "--state", str(self._state / name)),
            environ={"PULLWORK_ADDRESS": self.address},
        )
        self.nodes[name] = node
        return node

    @property
    def command(self) -> list[str]:
        """The program that is kept running."""
        if self.runner is Runner.process:
            return [sys.executable, "-m", web.__name__]
        return ["python3", "-c", Path(web.__file__).read_text("utf-8")]

    @property
    def ports(self) -> list[Port]:
        """Where it listens: a process at a free port that it is told, a container at its own."""
        return [Port("http", 0 if self.runner is Runner.process else CONTAINER_PORT)]

    def programs(self) -> int:
        """Returns how many programs of services there are, as the machine itself tells it."""
        if self.runner is Runner.process:
            return len(self._processes())
        return len(self._containers("--filter=status=running"))

    def kill(self, pid: int, host: str) -> None:
        """Kills one program as a crash would."""
        if self.runner is Runner.process:
            psutil.Process(pid).kill()
        else:
            docker("kill", host)

    async def stop(self) -> None:
        """Stops all processes, and whatever a demo that was broken off left running."""
        await super().stop()
        if self.runner is Runner.container:
            if left := self._containers("--all"):
                await asyncio.to_thread(docker, "rm", "--force", *left)
            return
        ends = time.monotonic() + GONE_S
        while (left_here := self._processes()) and time.monotonic() < ends:
            for process in left_here:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            await asyncio.sleep(0.05)

    def _processes(self) -> list[psutil.Process]:
        """Returns the processes that work below the nodes' folders."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.cwd().startswith(str(self._state)) and (
                    process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(process)
        return found

    def _containers(self, *which: str) -> list[str]:
        """Returns the containers of the nodes of this demo."""
        labels = [f"--filter=label=pullwork.node={name}" for name in self.nodes]
        found = [docker("ps", "--quiet", *which, label).split() for label in labels]
        return [container for containers in found for container in containers]


def docker(*words: str) -> str:
    """Runs a docker command and returns what it printed; raises DemoError."""
    try:
        ran = subprocess.run(("docker", *words), capture_output=True, text=True, check=False)
    except OSError as error:
        raise DemoError(f"docker can't be run: {error.strerror}") from None
    if ran.returncode:
        raise DemoError(f"docker {' '.join(words)}: {ran.stderr.strip()}")
    return ran.stdout.strip()
