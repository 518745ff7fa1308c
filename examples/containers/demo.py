"""The demo over containers: counts words, kills a worker and the master, adds a second group.

make demo-containers                # builds the images first
make demo-containers DIR=/a/folder  # which everybody on this machine may read

It is the job of `pullwork demo`; only what starts and kills its members is another.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from pullwork import Client
from pullwork.demo.board import Board
from pullwork.demo.cluster import READY_S, Cluster, DemoError, Member
from pullwork.demo.display import shown
from pullwork.demo.job import Job
from pullwork.demo.run import stopped_by_signals, tell_verdict
from pullwork.demo.words import find_files, standard_library
from pullwork.errors import UnavailableError

SLOTS = 2
# Where the containers see the folder of files.
FILES = Path("/files")
HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--init")
PLAINLY = (
    "import json, sys; from pathlib import Path; from pullwork.demo.words import count_plainly; "
    "print(json.dumps(count_plainly(map(Path, json.load(sys.stdin)))))"
)


@dataclass
class Container(Member):
    """A member of the demo in a container; its process is the `docker run` that shows its log."""

    container: str = ""
    inner_pid: int = 0

    @property
    def pid(self) -> int:
        """The id of the process inside, as this machine sees it."""
        return self.inner_pid

    def kill(self) -> None:
        """Kills it as a crash would: at once, and with no word to anybody."""
        self.killed = True
        docker("kill", self.container)


class ContainerCluster(Cluster):
    """A master with a volume, and workers, all on a network of their own."""

    def __init__(self, folder: Path, files: Path, tag: str) -> None:
        super().__init__(folder, SLOTS)
        self._logs = folder
        self._files = files
        self._tag = tag
        self._mark = f"pullwork-demo-{time.time_ns() % 10**9}"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        docker("network", "create", self._mark)
        docker("volume", "create", self._mark)

    async def start_master(self) -> None:
        """Starts a master on the volume, and waits until it serves."""
        self._master = await self._run(
            "master",
            *("--network-alias", "master", "--publish", f"{self.address}:7733"),
            *("--volume", f"{self._mark}:/var/lib/pullwork", f"pullwork-master:{self._tag}"),
        )
        try:
            async with Client(self.address, deadline=READY_S) as client:
                await client.members()
        except UnavailableError as error:
            raise DemoError(f"{error}; it last said:\n{self._master.last_words()}") from None

    async def start_worker(self, name: str) -> Member:
        """Starts a worker; it registers by itself."""
        settings = {
            "PULLWORK_ADDRESS": "master:7733",
            "PULLWORK_WORKER_TASKS": "pullwork.demo.tasks",
            "PULLWORK_WORKER_QUEUES": "demo",
            "PULLWORK_WORKER_SLOTS": str(self._slots),
            "PULLWORK_WORKER_NAME": name,
        }
        env = (f"--env={key}={value}" for key, value in settings.items())
        image = f"pullwork-worker:{self._tag}"
        worker = await self._run(name, *env, f"--volume={self._files}:{FILES}:ro", image)
        self.workers.append(worker)
        return worker

    async def stop(self) -> None:
        """Stops all containers, workers first, and leaves nothing behind."""
        names = [it.container for it in reversed(self._everybody) if isinstance(it, Container)]
        with contextlib.suppress(DemoError):
            await asyncio.to_thread(docker, "stop", *names)
        for member in self._everybody:
            await member.process.wait()
        docker("network", "rm", self._mark)
        docker("volume", "rm", self._mark)

    async def _run(self, name: str, *words: str) -> Container:
        log = self._logs / f"{name}.log"
        container = f"{self._mark}-{name}-{len(self._everybody)}"
        about = ("--rm", "--name", container, "--network", self._mark, *HARDENED)
        with log.open("ab") as out:
            process = await asyncio.create_subprocess_exec(
                *("docker", "run", *about, *words),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=asyncio.subprocess.STDOUT,
                # Ctrl-C reaches only the demo, which then stops them in order.
                start_new_session=True,
            )
        member = Container(name, process, log, container=container)
        self._everybody.append(member)
        member.inner_pid = await self._pid_of(member)
        return member

    async def _pid_of(self, member: Container) -> int:
        ends = time.monotonic() + READY_S
        while True:
            self.check(member)
            with contextlib.suppress(DemoError):
                found = ("inspect", "--format", "{{.State.Pid}}", member.container)
                if pid := int(await asyncio.to_thread(docker, *found)):
                    return pid
            if time.monotonic() > ends:
                raise DemoError(f"{member.name} did not start:\n{member.last_words()}")
            await asyncio.sleep(0.05)


def docker(*words: str, stdin: str = "") -> str:
    """Runs a docker command and returns what it printed. Raises DemoError."""
    ran = subprocess.run(
        ("docker", *words), input=stdin, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise DemoError(f"docker {' '.join(words)}: {ran.stderr.strip()}")
    return ran.stdout.strip()


def count_plainly(folder: Path, files: list[Path], tag: str) -> Counter[str]:
    """Counts in one process, by the same Python that the workers have."""
    told = docker(
        *("run", "--rm", "--interactive", f"--volume={folder}:{FILES}:ro"),
        *("--entrypoint=python3", f"pullwork-worker:{tag}", "-c", PLAINLY),
        stdin=json.dumps([str(path) for path in files]),
    )
    return Counter(json.loads(told))


async def run(board: Board, console: Console, folder: Path, files: list[Path], tag: str) -> None:
    """Runs the whole job over containers."""
    with tempfile.TemporaryDirectory(prefix="pullwork-demo-") as logs, stopped_by_signals():
        cluster = ContainerCluster(Path(logs), folder, tag)
        async with shown(board, console), cluster:
            await Job(cluster, board, files).run(kill_master=True)


def main() -> int:
    """Runs the demo, and returns 0 if its totals are right."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dir", type=Path, default=standard_library(), help="where the files are")
    parser.add_argument("--tag", default="latest", help="of the images")
    given = parser.parse_args()
    folder, console = given.dir.resolve(), Console(highlight=False)
    files = [FILES / path.relative_to(folder) for path in find_files(folder)]
    console.print(f"Counting the words of {len(files)} Python files in {folder}, over containers")
    board = Board()
    try:
        asyncio.run(run(board, console, folder, files, given.tag))
        console.print("\nCounting the same files plainly, in one container without Pullwork ...")
        began = time.monotonic()
        plain = count_plainly(folder, files, given.tag)
    except DemoError as error:
        console.print(f"[red]{error}[/]")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    return 0 if tell_verdict(board, console, plain, time.monotonic() - began) else 1


if __name__ == "__main__":
    sys.exit(main())
