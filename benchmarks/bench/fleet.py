"""Measures what many idle workers cost a master, and how soon one of them has a task.

    make bench-fleet
    make bench-fleet ARGS="--workers 100,2000,5000 --seconds 30"

Every worker has a connection of its own. A fleet is left alone until the master told everybody the
interval for its size; then the master's CPU time is taken. "Parked" workers keep a request open,
as ours do; "hinted" ones ask when they are told that there is work. A task is sent to a type
that one worker knows, and to one that all know; it counts from the call that submits it to the
ticket in a worker's hand.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import psutil

from bench.process import BenchError, Process, end_politely, wait_until
from bench.report import columns, machine
from bench.system import ENV
from pullwork.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc

CONNECTIONS_EACH: Final = 1_000  # in one process of the load
OWN: Final = 10  # workers that know a type which nobody else knows
SETTLING_S_MAX: Final = 120.0


@dataclass(frozen=True)
class Kind:
    """What the workers of a fleet do."""

    name: str
    listens: bool = True
    beats: bool = True
    parks: bool = True


PARKED: Final = Kind("parked")
HINTED: Final = Kind("hinted", parks=False)
# To tell heartbeats and ticks apart.
DEAF: Final = Kind("without a stream", listens=False, parks=False)


class Fleet:
    """A master, and the processes that hold the workers."""

    def __init__(self, folder: Path, flags: Sequence[str] = ()) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fleet-", dir=folder))
        ready = self.folder / "ready"
        pullwork = str(Path(sys.executable).with_name("pullwork"))
        where = ("--listen", "127.0.0.1:0", "--data", str(self.folder / "data"))
        command = [pullwork, "master", *where, "--ready-file", str(ready), *flags]
        self.master = Process("master", command, self.folder)
        wait_until(ready.exists, "the master serves", self.master)
        self.address = ready.read_text().strip()
        self.loads: list[Process] = []

    def join(self, count: int, kind: Kind) -> float:
        """Lets so many workers join; returns the seconds that it took."""
        names = [f"worker-{number:05d}" for number in range(count)]
        own = {name: [f"fleet.own.{at}"] for at, name in enumerate(names[:: max(1, count // OWN)])}
        started = time.perf_counter()
        for first in range(0, count, CONNECTIONS_EACH):
            name = f"load-{first // CONNECTIONS_EACH}"
            command = [sys.executable, "-m", "bench.fleet_load", self.address]
            load = Process(name, command, self.folder, ENV, talks=True)
            self.loads.append(load)
            mine = names[first : first + CONNECTIONS_EACH]
            load.tell(
                do="join",
                names=mine,
                own={name: own[name] for name in mine if name in own},
                listens=kind.listens,
                beats=kind.beats,
                parks=kind.parks,
            )
        for load in self.loads:
            load.answer()
        return time.perf_counter() - started

    def heard(self) -> dict[str, Any]:
        """Returns what all workers heard since it was asked last."""
        total: dict[str, Any] = {"hints": 0, "ticks": 0, "beats": 0, "empty": 0}
        arrived: dict[str, int] = {}
        interval_s = 0.0
        for load in self.loads:
            answer = load.ask(do="heard")
            if answer["failures"]:
                raise BenchError(f"workers failed: {answer['failures']}\n{self.master.said()}")
            for key in total:
                total[key] += answer[key]
            arrived |= answer["arrived_ns"]
            interval_s = max(interval_s, answer["interval_s"])
        return total | {"arrived_ns": arrived, "interval_s": interval_s}

    def settle(self, least_s: float) -> None:
        """Waits until two rounds of heartbeats tell the same interval."""
        deadline = time.monotonic() + SETTLING_S_MAX
        last_s = -1.0
        while time.monotonic() < deadline:
            interval_s = self.heard()["interval_s"]
            if interval_s == last_s:
                return
            last_s = interval_s
            time.sleep(max(least_s, min(1.2 * interval_s, 30.0)))

    def memory_mb(self) -> float:
        """Returns the memory that the master holds, in MB."""
        return psutil.Process(self.master.pid).memory_info().rss / 1e6

    def close(self) -> None:
        """Ends all processes."""
        for process in (*self.loads, self.master):
            process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Idle:
    """What an idle fleet costs."""

    workers: int
    kind: str
    joined_s: float
    interval_s: float
    cores: float
    beats: float
    ticks: float
    memory_mb: float


@dataclass(frozen=True)
class Wake:
    """How soon a task is in a worker's hand, and how many workers heard of it."""

    workers: int
    kind: str
    known_by: str
    p50_ms: float
    p99_ms: float
    worst_ms: float
    roused: float


def measure_idle(fleet: Fleet, workers: int, kind: Kind, seconds: float) -> Idle:
    """Lets a fleet join, come to rest and be idle."""
    joined_s = fleet.join(workers, kind)
    if kind.beats:
        fleet.settle(least_s=1.0)
    fleet.heard()
    cpu_s, started = fleet.master.cpu_s(), time.perf_counter()
    time.sleep(seconds)
    cpu_s, passed_s = fleet.master.cpu_s() - cpu_s, time.perf_counter() - started
    heard = fleet.heard()
    return Idle(
        workers,
        kind.name,
        joined_s,
        heard["interval_s"],
        cpu_s / passed_s,
        heard["beats"] / passed_s,
        heard["ticks"] / passed_s,
        fleet.memory_mb(),
    )


def measure_wake(fleet: Fleet, workers: int, kind: Kind, tasks: int, *, own: bool) -> Wake:
    """Submits one task at a time, at random moments, to idle workers."""
    fleet.heard()
    sent_ns: dict[str, int] = {}
    types = itertools.cycle([f"fleet.own.{at}" for at in range(min(OWN, workers))])
    with grpc.insecure_channel(fleet.address) as channel:
        stub = task_service_pb2_grpc.TaskServiceStub(channel)
        grpc.channel_ready_future(channel).result(timeout=10)
        for _ in range(tasks):
            time.sleep(random.uniform(0.01, 0.04))
            spec = task_pb2.TaskSpec(type=next(types) if own else "fleet.any", payload=b"x" * 100)
            request = task_service_pb2.SubmitTasksRequest(tasks=[spec])
            now_ns = time.monotonic_ns()
            answer = stub.SubmitTasks(request)
            sent_ns[answer.receipts[0].task_id] = now_ns
    time.sleep(1.0)
    heard = fleet.heard()
    arrived_ns: dict[str, int] = heard["arrived_ns"]
    if missing := sent_ns.keys() - arrived_ns.keys():
        raise BenchError(f"{len(missing)} of {tasks} tasks did not reach a worker in a second")
    took_ms = sorted((arrived_ns[task] - at_ns) / 1e6 for task, at_ns in sent_ns.items())
    roused = heard["hints"] if not kind.parks else len(arrived_ns)
    return Wake(
        workers,
        kind.name,
        "one" if own else "all",
        took_ms[len(took_ms) // 2],
        took_ms[min(len(took_ms) - 1, round(len(took_ms) * 0.99))],
        took_ms[-1],
        roused / tasks,
    )


def idle_table(rows: list[Idle]) -> str:
    """Returns the table of idle fleets."""
    head = (
        "workers",
        "kind",
        "interval",
        "heartbeats/s",
        "ticks/s",
        "cores",
        "memory",
        "joined in",
    )
    cells = [
        (
            f"{it.workers:,}",
            it.kind,
            f"{it.interval_s:.2f} s",
            f"{it.beats:.0f}",
            f"{it.ticks:.0f}",
            f"{it.cores:.3f}",
            f"{it.memory_mb:.0f} MB",
            f"{it.joined_s:.1f} s",
        )
        for it in rows
    ]
    return columns([head, *cells], right=(0, 2, 3, 4, 5, 6, 7))


def wake_table(rows: list[Wake]) -> str:
    """Returns the table of wake-ups."""
    head = ("workers", "kind", "type known by", "p50", "p99", "worst", "workers told a task")
    cells = [
        (
            f"{it.workers:,}",
            it.kind,
            it.known_by,
            f"{it.p50_ms:.1f} ms",
            f"{it.p99_ms:.1f} ms",
            f"{it.worst_ms:.1f} ms",
            f"{it.roused:.2f}",
        )
        for it in rows
    ]
    return columns([head, *cells], right=(0, 3, 4, 5, 6))


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="make bench-fleet", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--workers", default="100,1000,2000", help="sizes of fleets, with commas")
    parser.add_argument("--kinds", default="parked,hinted,without a stream", help="with commas")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long a fleet is idle")
    parser.add_argument("--tasks", type=int, default=400, help="how many tasks are sent, each way")
    parser.add_argument("--heartbeat", default="5s", help="the master's setting")
    parser.add_argument("--quick", action="store_true", help="few workers: shows that it works")
    parser.add_argument("--folder", type=Path, help="where the master's data is kept meanwhile")
    parser.add_argument("--out", type=Path, help="write the tables into this file")
    return parser.parse_args()


def main() -> None:
    """Measures and prints; exit code 1 if a worker failed or a task did not arrive."""
    options = arguments()
    end_politely()
    if options.quick:
        options.workers, options.seconds, options.tasks = "20", 2.0, 20
        options.heartbeat = "0.5s"
    kinds = {kind.name: kind for kind in (PARKED, HINTED, DEAF)}
    folder = Path(tempfile.mkdtemp(prefix="fleet-", dir=options.folder))
    idle: list[Idle] = []
    wake: list[Wake] = []
    try:
        for workers in map(int, options.workers.split(",")):
            for kind in (kinds[name] for name in options.kinds.split(",")):
                fleet = Fleet(folder, ("--heartbeat", options.heartbeat))
                try:
                    idle.append(measure_idle(fleet, workers, kind, options.seconds))
                    print(idle_table(idle[-1:]), flush=True)
                    if kind.listens:
                        for own in (True, False):
                            found = measure_wake(fleet, workers, kind, options.tasks, own=own)
                            wake.append(found)
                        print(wake_table(wake[-2:]), flush=True)
                finally:
                    fleet.close()
    except BenchError as error:
        sys.exit(f"the benchmark can't go on: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.out is not None:
        options.out.write_text(page(folder.parent, idle, wake), encoding="utf-8")
        print(f"written: {options.out}")


def page(folder: Path, idle: list[Idle], wake: list[Wake]) -> str:
    """Returns what is written for people."""
    return "\n".join(
        (
            "# Fleets\n",
            "<!-- Made by `make bench-fleet`. Run it again rather than change this page. -->\n",
            machine(folder),
            f"## Idle\n\nCores are the master's alone.\n\n{idle_table(idle)}",
            f"## Waking one of them\n\n{wake_table(wake)}",
        )
    )


if __name__ == "__main__":
    main()
