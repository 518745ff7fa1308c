"""Runs coroutine functions on the worker's own loop, lane by lane.

A lane's attempts run one after the other, the lanes beside each other. An attempt can't be
killed: one that does not end when it is asked to keeps its slot.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from functools import partial
from typing import Final, cast

from pullwork.context import running
from pullwork.errors import PayloadError
from pullwork.payload import decode_args
from pullwork_worker.executors.channel import LoopChannel
from pullwork_worker.executors.eager import begin_task
from pullwork_worker.executors.invoke import AnyTask, context_of, failure_of, packed, rejected
from pullwork_worker.executors.tracing import AttemptTracing
from pullwork_worker.executors.work import End, Sink, Work
from pullwork_worker.machine.ticket import Blame, Failure, Note, Outcome, Ticket

# Tiny attempts run for this long before the loop may look at what else there is.
_TURN_S: Final = 0.002
_CANCELLED: Final = Failure(
    Blame.APPLICATION, "asyncio.CancelledError", "the attempt was cancelled"
)


class _Lane:
    """What runs in a slot, its head, and what follows it; it is in `_lanes` until it is empty.

    `task` is None as long as the head has not begun.
    """

    __slots__ = ("channel", "index", "task", "tickets")

    def __init__(self, index: int) -> None:
        self.index = index
        self.tickets: deque[Ticket] = deque()
        self.task: asyncio.Task[Outcome] | None = None
        self.channel: LoopChannel | None = None


class CoroutineExecutor:
    """Runs `async def` functions."""

    def __init__(
        self, tasks: Mapping[str, AnyTask], sink: Sink, tracing: AttemptTracing | None = None
    ) -> None:
        self._tasks = tasks
        self._sink = sink
        self._tracing = tracing
        self._loop = asyncio.get_running_loop()
        # Each attempt gets a copy of this, so that none sees what another one set.
        self._context = copy_context()
        self._lanes: dict[int, _Lane] = {}
        self._due: deque[_Lane] = deque()
        self._ends: list[End] = []
        self._awake = False

    def start(self, slot: int, tickets: Sequence[Ticket]) -> None:
        """Puts attempts at the end of the slot's lane."""
        lane = self._lanes.get(slot)
        if lane is None:
            lane = self._lanes[slot] = _Lane(slot)
            self._due.append(lane)
            self._wake()
        lane.tickets.extend(tickets)

    def take_back(self, slot: int) -> list[str]:
        """Takes back what follows the head of the slot's lane; returns the tokens, in order."""
        lane = self._lanes.get(slot)
        if lane is None:
            return []
        head, *back = lane.tickets
        lane.tickets = deque([head])
        return [ticket.token for ticket in back]

    def stop(self, slot: int, ticket: Ticket) -> None:
        """Cancels the attempt's asyncio task."""
        lane = self._lanes.get(slot)
        if lane is None or lane.tickets[0] is not ticket:
            return  # it has ended, and that will be told at the next turn
        if lane.task is None or lane.channel is None:
            self._end(lane, _CANCELLED, 0.0)  # its turn has not come yet
            self._wake()
            return
        lane.channel.cancel()
        lane.task.cancel()

    def kill(self, slot: int, ticket: Ticket) -> None:
        """Can't: a coroutine ends by itself only."""

    async def close(self) -> None:
        """Cancels all, and waits a moment for them."""
        self._due.clear()
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    def _wake(self) -> None:
        if not self._awake:
            self._awake = True
            self._loop.call_soon(self._take_turn, context=self._context)

    def _take_turn(self) -> None:
        """Runs what is due for a while, and tells all that ended meanwhile at once."""
        self._awake = False
        until = time.perf_counter() + _TURN_S
        try:
            while self._due and self._run_lane(self._due[0], until):
                self._due.popleft()
        except Exception as error:
            self._sink.crash(error)
        if self._due:
            self._wake()
        self._tell_ends()

    def _run_lane(self, lane: _Lane, until: float) -> bool:
        """Runs a lane until one of its attempts waits for something; False if time is over."""
        started = time.perf_counter()
        while lane.tickets:
            if started > until:
                return False
            work = cast(Work, lane.tickets[0].work)
            channel = LoopChannel(work.token, self._noted, self._loop)
            attempt = call_async(self._tasks[work.type], work, channel)
            if self._tracing is not None:
                attempt = self._tracing.follow(work, attempt)
            task = begin_task(self._loop, attempt, f"{work.type} {work.task_id}", self._context)
            if not task.done():
                lane.task, lane.channel = task, channel
                task.add_done_callback(partial(self._done, lane, started), context=self._context)
                return True
            ended = time.perf_counter()
            self._end(lane, _outcome(task), ended - started)
            started = ended
        return True

    def _done(self, lane: _Lane, started: float, task: asyncio.Task[Outcome]) -> None:
        lane.task = lane.channel = None
        self._end(lane, _outcome(task), time.perf_counter() - started)
        if lane.tickets:
            self._due.append(lane)
        self._wake()

    def _noted(self, token: str, note: Note) -> None:
        self._tell_ends()  # or the attempt that says something would not be known to have begun
        self._sink.noted(token, note)

    def _tell_ends(self) -> None:
        if self._ends:
            ends, self._ends = self._ends, []
            self._sink.ended(ends)

    def _end(self, lane: _Lane, outcome: Outcome, run_s: float) -> None:
        ticket = lane.tickets.popleft()
        if not lane.tickets:
            del self._lanes[lane.index]
        self._ends.append((lane.index, ticket.token, outcome, run_s))


def _outcome(task: asyncio.Task[Outcome]) -> Outcome:
    return _CANCELLED if task.cancelled() else task.result()


async def call_async(task: AnyTask, work: Work, channel: LoopChannel) -> Outcome:
    """Awaits a coroutine function and returns how it ended; lets a cancellation through."""
    try:
        args, kwargs = decode_args(task, work.payload, work.content_type)
    except PayloadError as error:
        return rejected(error)
    running.set(partial(context_of, work, channel))  # in a context that dies with the attempt
    try:
        value = await task.fn(*args, **kwargs)
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return failure_of(error)
    return packed(task, value)
