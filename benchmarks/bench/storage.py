"""The master's storage alone, called as the engine calls it, in commits of several sizes."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from bench.figure import Figure, Rounds
from bench.section import Lab, Section, Sizes
from pullwork_master.core.effects import PageWanted, Wants, Writes
from pullwork_master.core.limits import PRIORITY_MAX
from pullwork_master.core.model import Spec, State, Task
from pullwork_master.storage.base import store
from pullwork_master.storage.sqlite import SqliteStorage

NOW_MS: Final = 1_750_000_000_000
DAY_MS: Final = 24 * 3600 * 1000
PAYLOAD: Final = os.urandom(100)
BATCHES: Final = (1000, 100, 10)
# Small commits cost so much more that fewer of them tell as much.
SMALL: Final = 10
TYPE: Final = "bench.storage"
COST: Final = "µs a task"


def measure(lab: Lab) -> list[Figure]:
    """Measures the steps of a task's life, each in commits of its own, and all in one commit."""
    rounds = Rounds()
    for _ in range(lab.sizes.rounds):
        for batch in BATCHES:
            lab.step(f"commits of {batch}")
            count = max(batch, lab.sizes.tasks // (SMALL if batch <= SMALL else 1))
            for what, seconds in _steps_of(lab.folder, count, batch):
                rounds.add(f"commits of {batch:,}: {what}", COST, seconds * 1e6 / count)
    return rounds.figures()


def _steps_of(folder: Path, count: int, batch: int) -> Iterator[tuple[str, float]]:
    storage = _opened(folder)
    tasks = make(count)
    yield "as it comes", _timed(lambda: _commit(storage, tasks, batch, new=True))
    yield "paged in", _timed(lambda: _page_through(storage, count))
    grant(tasks)
    yield "as it is granted", _timed(lambda: _commit(storage, tasks, batch))
    end(tasks)
    yield "as it ends", _timed(lambda: _commit(storage, tasks, batch))
    storage.close()
    # Where workers wait for tasks, one commit may see the whole of a short life.
    storage = _opened(folder)
    yield "all of its life", _timed(lambda: _commit(storage, tasks, batch, new=True))
    storage.close()


def _opened(folder: Path) -> SqliteStorage:
    storage = SqliteStorage(mkdtemp(prefix="storage-", dir=folder))
    storage.open()
    return storage


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def make(count: int) -> list[Task]:
    """Makes tasks with time-ordered ids, as clients give them."""
    return [
        Task(
            seq=seq,
            spec=Spec(
                id=str(uuid.UUID(int=(NOW_MS + seq) << 80 | 7 << 76 | 2 << 62 | seq)),
                queue="default",
                type=TYPE,
                payload=PAYLOAD,
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


def grant(tasks: list[Task]) -> None:
    """Moves them as a grant does."""
    for task in tasks:
        task.state, task.attempt, task.started_ms = State.RUNNING, 1, NOW_MS
        task.session, task.worker = "0190aabbccdd7eef8123", "worker-1"


def end(tasks: list[Task]) -> None:
    """Moves them as an accepted result does."""
    for task in tasks:
        task.state, task.ended_ms, task.revision = State.SUCCEEDED, NOW_MS, task.seq
        task.expires_ms = NOW_MS + DAY_MS + task.seq // 100
        task.result, task.result_content_type = b"42", "application/json"
        task.digest = b"0123456789abcdef"


def _commit(storage: SqliteStorage, tasks: list[Task], batch: int, *, new: bool = False) -> None:
    for first in range(0, len(tasks), batch):
        part = {task.seq: task for task in tasks[first : first + batch]}
        store(storage, Writes(inserted=part) if new else Writes(updated=part))


def _page_through(storage: SqliteStorage, count: int) -> None:
    """Pages the whole line as the core does; its tasks are all of one flow."""
    after = (-PRIORITY_MAX, 0)
    seen = 0
    while seen < count:
        wants = Wants(pages=[PageWanted("default", TYPE, 0, after, 1_000, 16 * 1024 * 1024)])
        found = storage.find(wants).pages[0].tasks
        seen += len(found)
        after = found[-1].key


def _steps(sizes: Sizes) -> int:
    return sizes.rounds * len(BATCHES)


STORAGE = Section(
    "storage",
    "The storage alone",
    "What a task of 100 B costs where it is stored, synced commits included: as it comes, is "
    "granted, and ends, each in commits of its own; all of its life in one commit, as when "
    "workers wait; and read back a thousand at a time into the window of its line.",
    measure,
    _steps,
)
