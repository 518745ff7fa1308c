"""One round with one system, ours or a peer's: the same commands, the same figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

from bench.figure import Rounds, share
from bench.peers.catalogue import Peer
from bench.process import BenchError, Process
from bench.section import Sizes
from bench.system import BENCHMARKS, running
from bench.throughput import COROUTINES

OURS: Final = "Pullwork"
OURS_ISOLATED: Final = "Pullwork, process executor"
THROUGHPUT: Final = "tasks/s, end to end"
SUBMIT: Final = "tasks/s submitted"
P50: Final = "ms, p50"
P99: Final = "ms, p99"
CPU: Final = "CPU s / 1,000 tasks"


@dataclass(frozen=True)
class Contest:
    """Where a round is measured, how much, and into what."""

    folder: Path
    sizes: Sizes
    venv: Path
    rounds: Rounds

    def measure_ours(self) -> None:
        """Measures both executors, submissions and latency."""
        tasks = self.sizes.tasks
        with running(self.folder) as (system, client):
            client.ask(do="map", kind="process", tasks=100)
            processes = [system.master, *system.workers, client]
            self._many(OURS, processes, do="map", tasks=tasks)
            self._many(OURS_ISOLATED, processes, do="map", kind="process", tasks=tasks)
            answer = client.ask(do="submit", coroutines=COROUTINES, tasks=tasks)
            self.rounds.add(OURS, SUBMIT, tasks / answer["seconds"])
            self._latency(OURS, client, do="latency", tasks=self.sizes.single)
            kind = {"do": "latency", "kind": "process", "tasks": self.sizes.single}
            self._latency(OURS_ISOLATED, client, **kind)

    def measure_peer(self, peer: Peer) -> None:
        """Measures the same of a peer."""
        tasks = max(100, int(self.sizes.tasks * peer.part))
        with started(peer, self.folder, self.venv) as processes:
            client = processes[-1]
            client.ask(do="many", tasks=100)
            self._many(peer.name, processes, do="many", tasks=tasks)
            answer = client.ask(do="submit", tasks=tasks)
            self.rounds.add(peer.name, SUBMIT, tasks / answer["seconds"])
            self._latency(peer.name, client, do="latency", tasks=self.sizes.single)

    def _many(self, name: str, processes: list[Process], **command: Any) -> None:
        before = sum(it.cpu_s() for it in processes)
        tasks = command["tasks"]
        seconds = processes[-1].ask(**command)["seconds"]
        used = sum(it.cpu_s() for it in processes) - before
        self.rounds.add(name, THROUGHPUT, tasks / seconds)
        self.rounds.add(name, CPU, used * 1000 / tasks)

    def _latency(self, name: str, client: Process, **command: Any) -> None:
        client.ask(**{**command, "tasks": 20})
        took_ms = client.ask(**command)["took_ms"]
        self.rounds.add(name, P50, share(took_ms, 50))
        self.rounds.add(name, P99, share(took_ms, 99))


@contextmanager
def started(peer: Peer, folder: Path, venv: Path) -> Iterator[list[Process]]:
    """Starts a peer: its server, its workers, and its client, which is the last."""
    folder = Path(mkdtemp(prefix=f"{peer.app.rpartition('.')[2]}-", dir=folder))
    server = peer.server()
    processes: list[Process] = []
    try:
        env = {"PYTHONPATH": str(BENCHMARKS), "BENCH_URL": server.start(folder)}
        assert server.process is not None
        programs = [list(command) for command in peer.workers]
        if peer.prepare:
            _prepare([str(venv / "bin" / peer.prepare[0]), *peer.prepare[1:]], folder, env)
        for number, (program, *arguments) in enumerate(programs):
            command = [str(venv / "bin" / program), *arguments]
            processes.append(Process(f"worker-{number}", command, folder, env))
        command = [str(venv / "bin" / "python"), "-m", peer.app]
        processes.append(Process("client", command, folder, env, talks=True))
        yield [server.process, *processes]
    finally:
        for process in reversed(processes):
            process.stop()
        server.close()


def _prepare(command: list[str], folder: Path, env: dict[str, str]) -> None:
    done = Process("prepare", command, folder, env)
    if code := done.wait():
        raise BenchError(f"{' '.join(command)} ended with code {code}:\n{done.said()}")
