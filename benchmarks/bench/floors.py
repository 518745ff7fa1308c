"""What the parts below Pullwork take alone: gRPC without a store, SQLite without a wire."""

from __future__ import annotations

import os
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from bench.figure import Figure, Rounds, share
from bench.process import Process
from bench.section import Lab, Section, Sizes
from bench.system import ENV

RATE: Final = "tasks/s"
BATCHES: Final = (100, 1)
RESULT: Final = b"12345678"


def measure(lab: Lab) -> list[Figure]:
    """Measures both in turn."""
    rounds = Rounds()
    for number in range(lab.sizes.rounds):
        lab.step("bare calls")
        _measure_calls(lab, rounds)
        lab.step("bare commits")
        for batch in BATCHES:
            tasks = lab.sizes.tasks if batch > 1 else lab.sizes.tasks // 10
            took_s = commit_rows(lab.folder / f"floor-{number}-{batch}.sqlite3", tasks, batch)
            what = f"SQLite, commits of {batch}"
            rounds.add(f"{what}: in, then its result", RATE, tasks / sum(took_s))
            if batch == 1:
                rounds.add(f"{what}, p50", "ms", share(took_s, 50) * 1000)
    return sorted(rounds.figures(), key=lambda it: it.unit)


def _measure_calls(lab: Lab, rounds: Rounds) -> None:
    command = [sys.executable, "-m", "bench.bare_rpc"]
    server = Process("bare-server", [*command, "serve"], lab.folder, ENV, talks=True)
    processes = [server]
    try:
        address = server.answer()["address"]
        client = Process("bare-client", [*command, "call", address], lab.folder, ENV, talks=True)
        processes.append(client)
        client.ask(tasks=1000, batch=100)
        for batch in BATCHES:
            tasks = lab.sizes.tasks if batch > 1 else lab.sizes.tasks // 10
            seconds = client.ask(tasks=tasks, batch=batch)["seconds"]
            rounds.add(f"gRPC, calls of {batch}: one way and its answer", RATE, tasks / seconds)
        answer = client.ask(tasks=lab.sizes.single, batch=1, at_once=1)
        rounds.add("gRPC, one call at a time, p50", "ms", share(answer["took_ms"], 50))
    finally:
        for process in reversed(processes):
            process.stop()


def commit_rows(path: Path, tasks: int, batch: int) -> list[float]:
    """Stores tasks, then their results, in commits of so many; returns the seconds of each."""
    payload = os.urandom(100)
    took_s: list[float] = []
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE task (seq INTEGER PRIMARY KEY, payload, result)")
        for first in range(0, tasks, batch):
            numbers = range(first, min(first + batch, tasks))
            for statement, rows in (
                ("INSERT INTO task VALUES (?, ?, NULL)", [(it, payload) for it in numbers]),
                ("UPDATE task SET result = ? WHERE seq = ?", [(RESULT, it) for it in numbers]),
            ):
                start = time.perf_counter()
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(statement, rows)
                connection.execute("COMMIT")
                took_s.append(time.perf_counter() - start)
    return took_s


def _steps(sizes: Sizes) -> int:
    return sizes.rounds * 2


FLOORS = Section(
    "floors",
    "The floors",
    "What no change of ours goes below: the same messages between a server that keeps nothing and "
    "a client that asks nothing else (four calls at once), and the same rows, synced, in a table "
    "without an index. A task crosses the wire four times (in, out to a worker, its result in, its "
    "end out to the client) and is written at least twice.",
    measure,
    _steps,
)
