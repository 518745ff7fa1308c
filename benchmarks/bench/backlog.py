"""Measures a master with many waiting tasks: submission, memory, start, and how fast they drain.

    make bench-backlog
    make bench-backlog ARGS="--tasks 10000,1000000 --drained 100000"

Tasks of 100 B are submitted in lists of 1,000, each a durable SubmitTasks; then the master is
killed and started on what it left, and two plain workers of bare stubs take what waits, in
answers of up to 1,000, and report it. What is drained is drained in parts, so that it shows
whether memory grows with what went through.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc.aio
import psutil

from bench.process import BenchError, Process, end_politely, wait_until
from bench.report import columns, machine
from pullwork.channel import client_options
from pullwork.v1 import (
    master_service_pb2 as pb,
)
from pullwork.v1 import (
    master_service_pb2_grpc,
    task_pb2,
    task_service_pb2,
    task_service_pb2_grpc,
)

LIST: Final = 1_000
CALLS: Final = 4  # submissions under way at once
WORKERS: Final = 2
BATCH: Final = 200
TYPE: Final = "backlog.nothing"


@dataclass
class Found:
    """What one backlog showed."""

    tasks: int
    submitted: float = 0.0
    folder_gb: float = 0.0
    filled_mb: float = 0.0
    start_s: float = 0.0
    started_mb: float = 0.0
    # Of each part that was drained: tasks a second, and the master's memory after it.
    rates: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)


class Master:
    """A master on a folder that outlives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lives = 0
        self.process: Process
        self.address = ""

    def start(self) -> float:
        """Starts it; returns the seconds until it served."""
        self._lives += 1
        ready = self.folder / f"ready-{self._lives}"
        pullwork = str(Path(sys.executable).with_name("pullwork"))
        where = ("--listen", "127.0.0.1:0", "--data", str(self.folder / "data"))
        command = [pullwork, "master", *where, "--ready-file", str(ready)]
        started = time.perf_counter()
        self.process = Process(f"master-{self._lives}", command, self.folder)
        wait_until(ready.exists, "the master serves", self.process)
        self.address = ready.read_text().strip()
        return time.perf_counter() - started

    def kill(self) -> None:
        """Ends it without a word."""
        self.process.stop(signal.SIGKILL)

    def memory_mb(self) -> float:
        """Returns the memory that it holds, in MB."""
        self.process.check()
        return psutil.Process(self.process.pid).memory_info().rss / 1e6

    def folder_gb(self) -> float:
        """Returns the size of its data folder."""
        return sum(each.stat().st_size for each in (self.folder / "data").iterdir()) / 1e9


def open_channel(address: str) -> grpc.aio.Channel:
    """Opens a connection that is shared with nobody."""
    options = [*client_options(), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.aio.insecure_channel(address, options=options)


async def fill(address: str, tasks: int) -> float:
    """Submits tasks; returns how many a second."""
    lists = iter([LIST] * (tasks // LIST) + [tasks % LIST] * bool(tasks % LIST))
    async with open_channel(address) as channel:
        stub = task_service_pb2_grpc.TaskServiceStub(channel)

        async def one_by_one() -> None:
            for count in lists:
                payloads = (os.urandom(100) for _ in range(count))
                specs = [task_pb2.TaskSpec(type=TYPE, payload=each) for each in payloads]
                await stub.SubmitTasks(task_service_pb2.SubmitTasksRequest(tasks=specs))

        started = time.perf_counter()
        await asyncio.gather(*(one_by_one() for _ in range(CALLS)))
        return tasks / (time.perf_counter() - started)


async def drain(address: str, tasks: int) -> float:
    """Takes and ends tasks; returns how many a second."""
    left = tasks

    async def work(number: int) -> None:
        nonlocal left
        async with open_channel(address) as channel:
            stub = master_service_pb2_grpc.MasterServiceStub(channel)
            name = f"drain-{number}-{time.monotonic_ns()}"
            told = await stub.Register(
                pb.RegisterRequest(worker_name=name, boot_id=name, task_types=[TYPE], slots=BATCH)
            )
            answer = await stub.RequestTask(
                pb.RequestTaskRequest(session_id=told.session_id, max_tasks=BATCH)
            )
            tickets = answer.tickets
            while tickets:
                left -= len(tickets)
                request = pb.ReportResultRequest(
                    session_id=told.session_id, request_tasks=BATCH if left > 0 else 0
                )
                for ticket in tickets:
                    outcome = request.outcomes.add(lease_token=ticket.lease_token)
                    outcome.success.data = b"done"
                tickets = (await stub.ReportResult(request)).tickets
            await stub.Deregister(pb.DeregisterRequest(session_id=told.session_id))

    started = time.perf_counter()
    await asyncio.gather(*(work(number) for number in range(WORKERS)))
    if left > 0:
        raise BenchError(f"{left} of {tasks} tasks were not handed out")
    return (tasks - left) / (time.perf_counter() - started)


def measure(folder: Path, tasks: int, parts: Sequence[int]) -> Found:
    """Fills a master, starts it anew, and drains some of what waits."""
    found = Found(tasks)
    master = Master(Path(tempfile.mkdtemp(prefix="backlog-", dir=folder)))
    master.start()
    try:
        found.submitted = asyncio.run(fill(master.address, tasks))
        found.filled_mb, found.folder_gb = master.memory_mb(), master.folder_gb()
        master.kill()
        found.start_s = master.start()
        found.started_mb = master.memory_mb()
        for part in parts:
            if part <= tasks:
                found.rates.append(asyncio.run(drain(master.address, part)))
                found.memory_mb.append(master.memory_mb())
    finally:
        master.kill()
        shutil.rmtree(master.folder, ignore_errors=True)
    return found


def table(rows: list[Found]) -> str:
    """Returns the table of backlogs."""
    head = (
        "waiting",
        "submitted",
        "on disk",
        "memory, filled",
        "start",
        "memory, started",
        "drained",
        "memory after each part",
    )
    cells = [
        (
            f"{it.tasks:,}",
            f"{it.submitted:,.0f}/s",
            f"{it.folder_gb:.2f} GB",
            f"{it.filled_mb:.0f} MB",
            f"{it.start_s:.2f} s",
            f"{it.started_mb:.0f} MB",
            ", ".join(f"{rate:,.0f}/s" for rate in it.rates),
            ", ".join(f"{memory:.0f} MB" for memory in it.memory_mb),
        )
        for it in rows
    ]
    return columns([head, *cells], right=(0, 1, 2, 3, 4, 5))


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="make bench-backlog",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--tasks", default="10000,1000000", help="backlogs, with commas")
    parser.add_argument(
        "--drained", default="9000,100000", help="parts that are drained in turn, with commas"
    )
    parser.add_argument("--quick", action="store_true", help="few tasks: shows that it works")
    parser.add_argument("--folder", type=Path, help="where the master's data is kept meanwhile")
    parser.add_argument("--out", type=Path, help="write the table into this file")
    return parser.parse_args()


def main() -> None:
    """Measures and prints; exit code 1 if tasks were missing."""
    options = arguments()
    end_politely()
    if options.quick:
        options.tasks, options.drained = "500,2000", "300,1000"
    rows: list[Found] = []
    folder = Path(tempfile.mkdtemp(prefix="backlogs-", dir=options.folder))
    try:
        for tasks in map(int, options.tasks.split(",")):
            rows.append(measure(folder, tasks, [int(it) for it in options.drained.split(",")]))
            print(table(rows[-1:]), flush=True)
    except BenchError as error:
        sys.exit(f"the benchmark can't go on: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.out is not None:
        title = "# Backlogs\n"
        made = "<!-- Made by `make bench-backlog`. Run it again rather than change this page. -->\n"
        text = "\n".join((title, made, machine(folder.parent), table(rows)))
        options.out.write_text(text, encoding="utf-8")
        print(f"written: {options.out}")


if __name__ == "__main__":
    main()
