"""Runs functions in threads of the worker's own process.

A thread can't be killed. An attempt that does not end when it is asked to keeps its slot.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

from pullwork_worker.executors.channel import LoopChannel
from pullwork_worker.executors.invoke import AnyTask, call, context_of, failure_of
from pullwork_worker.executors.tracing import AttemptTracing
from pullwork_worker.executors.work import Sink, Work
from pullwork_worker.machine.ticket import Outcome, Ticket


class ThreadExecutor:
    """Runs `def` functions in threads of the worker; a thread for each attempt.

    The threads are daemons, so one that never ends does not keep the worker from leaving.
    """

    def __init__(
        self, tasks: Mapping[str, AnyTask], sink: Sink, tracing: AttemptTracing | None = None
    ) -> None:
        self._tasks = tasks
        self._sink = sink
        self._tracing = tracing
        self._running: dict[int, LoopChannel] = {}

    def start(self, slot: int, tickets: Sequence[Ticket]) -> None:
        """Starts a thread for an attempt."""
        (ticket,) = tickets
        work = cast(Work, ticket.work)
        loop = asyncio.get_running_loop()
        channel = LoopChannel(work.token, self._sink.noted, loop)
        self._running[slot] = channel
        threading.Thread(
            target=self._run, args=(slot, work, channel, loop), name=work.type, daemon=True
        ).start()

    def _run(
        self, slot: int, work: Work, channel: LoopChannel, loop: asyncio.AbstractEventLoop
    ) -> None:
        started = time.perf_counter()
        outcome: Outcome
        try:
            run = partial(call, self._tasks[work.type], work, partial(context_of, work, channel))
            outcome = run() if self._tracing is None else self._tracing.run(work, run)
        except MemoryError as error:
            outcome = failure_of(error)
        end = (slot, work.token, outcome, time.perf_counter() - started)
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._sink.ended, [end])

    def stop(self, slot: int, ticket: Ticket) -> None:
        """Sets the flag that the attempt may look at."""
        self._running[slot].cancel()

    def take_back(self, slot: int) -> list[str]:
        """Has nothing to take back: threads have no lanes."""
        return []

    def kill(self, slot: int, ticket: Ticket) -> None:
        """Can't: a thread ends by itself only."""

    async def close(self) -> None:
        """Sets all flags; the threads end with the process."""
        for channel in self._running.values():
            channel.cancel()
