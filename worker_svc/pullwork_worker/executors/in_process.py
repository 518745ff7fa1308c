"""Runs functions in the worker's own process: coroutines on its loop, and threads.

Neither can be killed. An attempt that does not end when it is asked to keeps its slot.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

from pullwork.context import Channel, running
from pullwork.errors import PayloadError
from pullwork.payload import decode_args
from pullwork_worker.executors.invoke import (
    AnyTask,
    call,
    context_of,
    failure_of,
    packed,
    rejected,
)
from pullwork_worker.executors.work import Sink, Work
from pullwork_worker.machine.ticket import Blame, Failure, Note, Outcome, Ticket


class LoopChannel:
    """A running attempt's way to the worker; may be used from any thread."""

    def __init__(self, token: str, sink: Sink, loop: asyncio.AbstractEventLoop) -> None:
        self._token = token
        self._sink = sink
        self._loop = loop
        self._home = threading.get_ident()
        self._cancelled = False

    def tell(self, fraction: float | None, message: str | None, checkpoint: bytes | None) -> None:
        """Passes on what the task says of itself."""
        note = Note(fraction, message, checkpoint)
        if threading.get_ident() == self._home:
            self._sink.noted(self._token, note)
        else:
            self._loop.call_soon_threadsafe(self._sink.noted, self._token, note)

    def cancel(self) -> None:
        """Sets the flag that the attempt may look at."""
        self._cancelled = True

    def cancelled(self) -> bool:
        """Returns whether the task is to end."""
        return self._cancelled


class CoroutineExecutor:
    """Runs `async def` functions on the worker's loop."""

    def __init__(self, tasks: Mapping[str, AnyTask], sink: Sink) -> None:
        self._tasks = tasks
        self._sink = sink
        self._running: dict[int, tuple[asyncio.Task[Outcome], LoopChannel]] = {}

    def start(self, slot: int, tickets: Sequence[Ticket]) -> None:
        """Starts an attempt as an asyncio task of its own."""
        (ticket,) = tickets
        work = cast(Work, ticket.work)
        loop = asyncio.get_running_loop()
        channel = LoopChannel(work.token, self._sink, loop)
        attempt = loop.create_task(
            call_async(self._tasks[work.type], work, channel), name=f"{work.type} {work.task_id}"
        )
        self._running[slot] = (attempt, channel)
        # A callback: a task that is cancelled before its first step runs nothing of its own.
        attempt.add_done_callback(partial(self._done, slot, work, time.perf_counter()))

    def _done(self, slot: int, work: Work, started: float, task: asyncio.Task[Outcome]) -> None:
        if task.cancelled():
            outcome: Outcome = Failure(
                Blame.APPLICATION, "asyncio.CancelledError", "the attempt was cancelled"
            )
        else:
            outcome = task.result()
        del self._running[slot]
        self._sink.ended([(slot, work.token, outcome, time.perf_counter() - started)])

    def stop(self, slot: int, ticket: Ticket) -> None:
        """Cancels the attempt's asyncio task."""
        task, channel = self._running[slot]
        channel.cancel()
        task.cancel()

    def kill(self, slot: int, ticket: Ticket) -> None:
        """Can't: a coroutine ends by itself only."""

    async def close(self) -> None:
        """Cancels all, and waits a moment for them."""
        tasks = [task for task, _ in self._running.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)


async def call_async(task: AnyTask, work: Work, channel: Channel) -> Outcome:
    """Awaits a coroutine function and returns how it ended; lets a cancellation through."""
    try:
        args, kwargs = decode_args(task, work.payload, work.content_type)
    except PayloadError as error:
        return rejected(error)
    running.set(partial(context_of, work, channel))  # in a copy of the context that dies with it
    try:
        value = await task.fn(*args, **kwargs)
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return failure_of(error)
    return packed(task, value)


class ThreadExecutor:
    """Runs `def` functions in threads of the worker; a thread for each attempt.

    The threads are daemons, so one that never ends does not keep the worker from leaving.
    """

    def __init__(self, tasks: Mapping[str, AnyTask], sink: Sink) -> None:
        self._tasks = tasks
        self._sink = sink
        self._running: dict[int, LoopChannel] = {}

    def start(self, slot: int, tickets: Sequence[Ticket]) -> None:
        """Starts a thread for an attempt."""
        (ticket,) = tickets
        work = cast(Work, ticket.work)
        loop = asyncio.get_running_loop()
        channel = LoopChannel(work.token, self._sink, loop)
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
            outcome = call(self._tasks[work.type], work, partial(context_of, work, channel))
        except MemoryError as error:
            outcome = failure_of(error)
        end = (slot, work.token, outcome, time.perf_counter() - started)
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._sink.ended, [end])

    def stop(self, slot: int, ticket: Ticket) -> None:
        """Sets the flag that the attempt may look at."""
        self._running[slot].cancel()

    def kill(self, slot: int, ticket: Ticket) -> None:
        """Can't: a thread ends by itself only."""

    async def close(self) -> None:
        """Sets all flags; the threads end with the process."""
        for channel in self._running.values():
            channel.cancel()
