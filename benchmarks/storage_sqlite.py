"""Measures the SQLite storage: insert, grant and end of many tasks in commits of several sizes.

    python benchmarks/storage_sqlite.py [--tasks 100000] [--payload 100] [--folder DIR]

Beside it stands the floor: the same number of rows of one integer and one blob, inserted in
commits of the same size with the same settings, which is what SQLite itself can do here.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from pullwork_master.core.effects import PageWanted, Wants, Writes
from pullwork_master.core.model import Spec, State, Task
from pullwork_master.storage.sqlite import SqliteStorage

NOW_MS = 1_750_000_000_000
DAY_MS = 24 * 3600 * 1000


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--payload", type=int, default=100, help="bytes")
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    options = parser.parse_args()
    print(f"{options.tasks:,} tasks of {options.payload:,} bytes; tasks a second:")
    steps = ("floor", "insert", "grant", "end", "all three", "page", "in one")
    print("commits of " + "".join(f"{step:>12}" for step in steps))
    for size in (1_000, 100, 10):
        # Small commits cost so much more that fewer of them tell as much.
        count = max(size, options.tasks if size >= 100 else options.tasks // 10)
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            rates = measure(Path(folder), count, size, os.urandom(options.payload))
        print(f"{size:>10} " + "".join(f"{rate:>12,.0f}" for rate in rates))


def measure(folder: Path, count: int, size: int, payload: bytes) -> list[float]:
    """Returns tasks a second: floor, each step, all steps, paging, and all steps in one commit."""
    floor = timed(lambda: bare_inserts(folder / "floor.sqlite3", count, size, payload))
    storage = SqliteStorage(folder / "steps")
    storage.open()
    tasks = make(count, payload)
    insert = timed(lambda: commit_all(storage, tasks, size, inserted=True))
    page = timed(lambda: page_through(storage, count))
    grant_all(tasks)
    grant = timed(lambda: commit_all(storage, tasks, size))
    end_all(tasks)
    end = timed(lambda: commit_all(storage, tasks, size))
    storage.close()
    # Where workers wait for tasks, one commit may see the whole of a short life.
    storage = SqliteStorage(folder / "one")
    storage.open()
    one = timed(lambda: commit_all(storage, tasks, size, inserted=True))
    storage.close()
    taken = (floor, insert, grant, end, insert + grant + end, page, one)
    return [count / seconds for seconds in taken]


def timed(work: Callable[[], None]) -> float:
    """Returns seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def make(count: int, payload: bytes) -> list[Task]:
    """Makes tasks with time-ordered ids, as the master gives them."""
    return [
        Task(
            seq=seq,
            spec=Spec(
                id=str(uuid.UUID(int=(NOW_MS + seq) << 80 | 7 << 76 | 2 << 62 | seq)),
                queue="default",
                type="demo.count_words",
                payload=payload,
                content_type="application/json",
                owner="bench",
                retention_ms=DAY_MS,
                digest=b"0123456789abcdef",
            ),
            state=State.QUEUED,
            created_ms=NOW_MS + seq,
        )
        for seq in range(1, count + 1)
    ]


def grant_all(tasks: list[Task]) -> None:
    """Moves them as a grant does."""
    for task in tasks:
        task.state, task.attempt, task.started_ms = State.RUNNING, 1, NOW_MS
        task.session, task.worker = "0190aabbccdd7eef8123", "worker-1"


def end_all(tasks: list[Task]) -> None:
    """Moves them as an accepted result does."""
    for task in tasks:
        task.state, task.ended_ms, task.revision = State.SUCCEEDED, NOW_MS, task.seq
        task.expires_ms = NOW_MS + DAY_MS + task.seq // 100
        task.result, task.result_content_type = b'{"words": 42}', "application/json"
        task.digest = b"0123456789abcdef"


def batches(tasks: list[Task], size: int) -> Iterator[dict[int, Task]]:
    """Cuts them as the engine's commits would."""
    for start in range(0, len(tasks), size):
        yield {task.seq: task for task in tasks[start : start + size]}


def commit_all(
    storage: SqliteStorage, tasks: list[Task], size: int, *, inserted: bool = False
) -> None:
    """Commits them, so many at a time."""
    for batch in batches(tasks, size):
        storage.commit(Writes(inserted=batch) if inserted else Writes(updated=batch))


def page_through(storage: SqliteStorage, count: int) -> None:
    """Pages the whole line as the core's window does."""
    after = None
    seen = 0
    while seen < count:
        wanted = PageWanted("default", "demo.count_words", after, 1_000)
        page = storage.find(Wants(pages=[wanted])).pages[0]
        seen += len(page)
        after = page[-1].key


def bare_inserts(path: Path, count: int, size: int, payload: bytes) -> None:
    """Inserts rows of nothing but a key and a payload."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE rows (seq INTEGER PRIMARY KEY, payload BLOB)")
        for start in range(0, count, size):
            connection.execute("BEGIN IMMEDIATE")
            rows = [(seq, payload) for seq in range(start, start + size)]
            connection.executemany("INSERT INTO rows VALUES (?, ?)", rows)
            connection.execute("COMMIT")


if __name__ == "__main__":
    main()
