"""A Pullwork as people run it: a master, two workers and a client, on default settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from bench.process import Process, wait_until

BENCHMARKS = Path(__file__).parents[1]
WORKERS = 2
ENV = {"PYTHONPATH": str(BENCHMARKS)}


class System:
    """The processes of one Pullwork, its data in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(mkdtemp(prefix="system-", dir=folder))
        self.workers: list[Process] = []
        self.clients: list[Process] = []
        ready = self.folder / "ready"
        self.master = self._pullwork(
            "master",
            "master",
            *("--listen", "127.0.0.1:0", "--data", str(self.folder / "data")),
            *("--ready-file", str(ready)),
        )
        wait_until(ready.exists, "the master serves", self.master)
        self.address = ready.read_text().strip()

    def add_workers(
        self, *flags: str, tasks: str = "bench.work", queues: Sequence[str] = ("default",)
    ) -> None:
        """Starts the workers; they connect by themselves."""
        for number in range(WORKERS):
            name = f"worker-{number}"
            about = ["--tasks", tasks, "--name", name, "--address", self.address]
            about += [word for queue in queues for word in ("--queue", queue)]
            self.workers.append(self._pullwork(name, "worker", *about, *flags))

    def add_client(self) -> Process:
        """Starts a client that takes commands; see `bench.load`."""
        name = f"client-{len(self.clients)}"
        command = [sys.executable, "-m", "bench.load", self.address]
        client = Process(name, command, self.folder, ENV, talks=True)
        self.clients.append(client)
        return client

    def _pullwork(self, name: str, *arguments: str) -> Process:
        command = [str(Path(sys.executable).with_name("pullwork")), *arguments]
        return Process(name, command, self.folder, ENV)

    def cpu_s(self) -> dict[str, float]:
        """Returns the CPU seconds of each role until now."""
        return {
            "master": self.master.cpu_s(),
            "workers": sum(worker.cpu_s() for worker in self.workers),
            "client": sum(client.cpu_s() for client in self.clients),
        }

    def check(self) -> None:
        """Raises BenchError if one of its processes ended."""
        for process in (self.master, *self.workers, *self.clients):
            process.check()

    def close(self) -> None:
        """Ends all its processes."""
        for process in (*self.clients, *self.workers, self.master):
            process.stop()


@contextmanager
def running(folder: Path, **about: Any) -> Iterator[tuple[System, Process]]:
    """Starts a whole system and gives it with its client, when its workers have done work."""
    system = System(folder)
    try:
        system.add_workers(**about)
        client = system.add_client()
        client.ask(do="map", tasks=100)
        yield system, client
        system.check()
    finally:
        system.close()
