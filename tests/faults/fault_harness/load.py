"""A client that keeps submitting, and writes down all that it does and hears."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from cluster import until

from fault_harness.history import End, History
from pullwork import Client
from pullwork.errors import DiskFullError, PullworkError
from pullwork.ids import new_task_id
from pullwork.tasks import Call

AT_ONCE = 200
# No task may take longer than this to end once nothing disturbs it any more.
PATIENCE_S = 120.0


class Load:
    """Submits calls and hears of their ends, through whatever happens to the master."""

    def __init__(
        self,
        client: Client,
        history: History,
        call: Callable[[int], Call[str]],
        *,
        in_flight: int = 1000,
    ) -> None:
        self._client = client
        self._history = history
        self._call = call
        self._in_flight = in_flight
        self._told: dict[str, End] = {}
        self._acknowledged: set[str] = set()
        self._stop = False
        self._changed = asyncio.Event()
        self._running: list[asyncio.Task[None]] = []
        self.submitted = 0
        self.refused: list[PullworkError] = []
        self.acknowledged_at = 0.0
        self.ended_at = 0.0

    @property
    def ended(self) -> int:
        """How many ends were told."""
        return len(self._told)

    @property
    def acknowledged(self) -> int:
        """How many tasks the master said that it has."""
        return len(self._acknowledged)

    def start(self, total: int = 1_000_000_000) -> None:
        """Begins to submit; until `total`, or until `finish`."""
        self._running = [
            asyncio.create_task(self._hear(), name="load hears"),
            asyncio.create_task(self._submit(total), name="load submits"),
        ]

    async def until_ended(self, count: int, patience_s: float = PATIENCE_S) -> None:
        """Waits until so many tasks ended."""
        await until(lambda: self._healthy() and self.ended >= count, f"{count} ends", patience_s)

    async def until_acknowledged(self, count: int) -> None:
        """Waits until the master has so many tasks."""
        await until(lambda: self._healthy() and self.acknowledged >= count, f"{count} stored")

    async def until_flows(self, since: float) -> float:
        """Waits until tasks are taken and ended anew; returns when that was."""
        await until(
            lambda: (
                self._healthy()
                and (self._stop or self.acknowledged_at > since)
                and self.ended_at > since
            ),
            "tasks are taken, and end, again",
        )
        return max(self.acknowledged_at, self.ended_at)

    async def finish(self) -> None:
        """Submits no more, and waits for the ends of all that was acknowledged."""
        self._stop = True
        await self._running[1]
        with contextlib.suppress(AssertionError):  # the checker says which are missing
            await until(
                lambda: self._healthy() and self._acknowledged <= self._told.keys(),
                "all end",
                PATIENCE_S,
            )

    async def close(self) -> None:
        """Ends what still runs."""
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _deaf(self) -> bool:
        """Says whether the watch broke off: no end will be told any more."""
        return self._running[0].done()

    def _healthy(self) -> bool:
        for running in self._running:
            if running.done() and not running.cancelled() and running.exception():
                running.result()
        return True

    async def _submit(self, total: int) -> None:
        while not self._stop and self.submitted < total:
            count = min(AT_ONCE, total - self.submitted)
            await until(self._has_room, "tasks end", PATIENCE_S)
            ids = [new_task_id() for _ in range(count)]
            self._history.attempted(ids)
            tries = (self._one(self.submitted + at, each) for at, each in enumerate(ids))
            done = [task_id for task_id in await asyncio.gather(*tries) if task_id]
            if done:
                self._history.acknowledged(done)
                self._acknowledged.update(done)
                self.acknowledged_at = time.monotonic()
            self.submitted += count

    def _has_room(self) -> bool:
        return self._stop or self._deaf() or len(self._acknowledged) - self.ended < self._in_flight

    async def _one(self, number: int, task_id: str) -> str | None:
        try:
            await self._client.submit(self._call(number), task_id=task_id)
        except PullworkError as error:
            self.refused.append(error)
            if not isinstance(error, DiskFullError):
                return None
            # Nothing is stored; a client would wait as it is told, and so does this one.
            await until_passed(0.2)
            return None
        return task_id

    async def _hear(self) -> None:
        async for task in self._client.watch(owner=self._client.owner):
            end = End.of(task)
            self._history.ended(end)
            self._told[end.task_id] = end
            self.ended_at = time.monotonic()


async def until_passed(seconds: float) -> None:
    """Waits for a time; a fault lasts, it has no event to wait for."""
    ends = time.monotonic() + seconds
    await until(lambda: time.monotonic() >= ends, "time passes", seconds + 60)
