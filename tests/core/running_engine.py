"""An engine that runs in a test, over a storage whose commits the test holds up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from pullwork_master.core.effects import Writes
from pullwork_master.core.limits import Policy
from pullwork_master.core.model import Now
from pullwork_master.engine import Engine, system_clock
from pullwork_master.storage.base import StorageError
from pullwork_master.storage.memory import MemoryStorage

PATIENCE_S = 10.0


class SlowStorage(MemoryStorage):
    """A memory storage whose commits can be held up, counted, and made to fail."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.stored: list[int] = []
        self.commits = 0
        self.inserted = 0
        self.broken = False
        self.room_bytes: int | None = None
        self.threads: list[int] = []
        self.takes_ms = 0
        self.clock: Clock | None = None

    def stage(self, writes: Writes) -> None:
        super().stage(writes)
        self.inserted = len(writes.inserted)

    def commit(self) -> int:
        self.entered.set()
        assert self.gate.wait(PATIENCE_S)
        if self.broken:
            raise StorageError("the disk is gone")
        self.commits += 1
        self.threads.append(threading.get_ident())
        if self.clock is not None:
            self.clock.ms += self.takes_ms
        swept = super().commit()
        if self.inserted:
            self.stored.append(self.inserted)
        return swept

    def free_bytes(self) -> int | None:
        return self.room_bytes

    def hold(self) -> None:
        """Holds up whatever is committed next; `held` waits for it."""
        self.gate.clear()
        self.entered.clear()

    async def held(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, PATIENCE_S)


class Clock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.ms = 1_000

    def __call__(self) -> Now:
        return Now(self.ms, 1_700_000_000_000 + self.ms)


@asynccontextmanager
async def running(
    storage: SlowStorage,
    clock: Callable[[], Now] = system_clock,
    policy: Policy | None = None,
    quick_commit_ms: int = -1,
) -> AsyncIterator[Engine]:
    """An engine that runs, and is stopped at the end if it still does."""
    # Most tests hold a commit up, and look at what goes on meanwhile.
    engine = Engine(storage, policy or Policy(), clock, quick_commit_ms=quick_commit_ms)
    await engine.start()
    run = asyncio.create_task(engine.run(), name="engine")
    try:
        yield engine
    finally:
        storage.gate.set()
        engine.stop()
        await asyncio.wait({run}, timeout=PATIENCE_S)
        if not storage.broken:
            run.result()
        else:
            assert run.exception() is not None
        await engine.close()
