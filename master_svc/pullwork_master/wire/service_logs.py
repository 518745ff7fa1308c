"""WatchLogs: the logs of a service's instances side by side, each in its own order.

Each instance has a pump that brings its lines, and all share one place of one message to the
caller: who reads slowly slows all of them down. A log that is followed and breaks off while its
instance goes on, as when its node's worker is started again, is taken up again where it broke.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress
from typing import Any, Final, NamedTuple

from pullwork.v1 import orchestrator_service_pb2 as pb
from pullwork.v1 import service_pb2
from pullwork_master.core.rejections import Reason, Rejection, shutting_down
from pullwork_master.orchestrator.roster import Roster
from pullwork_master.wire.log_relay import Lines, LogRelay, UnreadableError

TAIL_MAX: Final = 10_000
TAIL_DEFAULT: Final = 100
# So many logs of one call are read at once; the others wait until one of them has ended.
AT_ONCE_MAX: Final = 100
RESUME_S: Final = 1.0
# Where a node has something of an instance that could be read.
_READABLE: Final[frozenset[int]] = frozenset(
    {
        service_pb2.INSTANCE_STATE_PULLING,
        service_pb2.INSTANCE_STATE_STARTING,
        service_pb2.INSTANCE_STATE_HEALTHY,
        service_pb2.INSTANCE_STATE_UNHEALTHY,
        service_pb2.INSTANCE_STATE_STOPPING,
    }
)
# Where there may be nothing to read yet, and soon will be.
_BEGINNING: Final[frozenset[int]] = frozenset(
    {service_pb2.INSTANCE_STATE_PULLING, service_pb2.INSTANCE_STATE_STARTING}
)


class Asked(NamedTuple):
    """What somebody wants to read; without an instance: the logs of all."""

    service: str
    instance: str
    tail_lines: int
    follow: bool


class Reading:
    """One call, and all that runs for it."""

    def __init__(self, roster: Roster, relay: LogRelay, asked: Asked) -> None:
        self._roster = roster
        self._relay = relay
        self._service, self._instance, self._tail_lines, self._follow = asked
        self._place: asyncio.Queue[pb.WatchLogsResponse] = asyncio.Queue(1)
        # By task: an instance that is started again is another one here.
        self._pumps: dict[str, asyncio.Task[None]] = {}
        self._seats = asyncio.Semaphore(AT_ONCE_MAX)
        # Why not a line of theirs could be read, by task.
        self._unread: dict[str, Rejection] = {}

    async def messages(self) -> AsyncGenerator[pb.WatchLogsResponse, None]:
        """Yields lines until all logs have ended, and if it follows, no more may come.

        Errors: SERVICE_NOT_FOUND, INSTANCE_NOT_FOUND, NODE_UNREACHABLE, TOO_MANY_REQUESTS,
        SHUTTING_DOWN.
        """
        overseer = asyncio.create_task(self._oversee())
        stopped = asyncio.create_task(self._relay.stopped.wait())
        try:
            while (message := await self._next(overseer, stopped)) is not None:
                yield message
            await overseer
        finally:
            for task in (overseer, stopped, *self._pumps.values()):
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task

    async def _next(
        self, overseer: asyncio.Task[None], stopped: asyncio.Task[Any]
    ) -> pb.WatchLogsResponse | None:
        """Waits for the next message; None: there is none, and the overseer knows why."""
        following = asyncio.create_task(self._place.get())
        try:
            waited = {following, overseer, stopped}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not self._place.empty():
                await following
            if following.done():
                return following.result()
            if stopped.done():
                raise shutting_down()
            return None
        finally:
            following.cancel()

    async def _oversee(self) -> None:
        """Starts pumps until there is nobody left to start one for, and waits for their ends."""
        generation = await self._settled()
        found = self._found()
        self._begin(found, self._tail_lines)
        for each in found:
            await self._tell_last_words(each)
        while self._follow and await self._may_go_on(generation):
            generation = self._roster.generations.of(self._service)
            self._begin(self._standing(), TAIL_MAX)
        for pump in self._pumps.values():
            await pump
        if self._unread and len(self._unread) == len(found):
            raise next(iter(self._unread.values()))

    async def _settled(self) -> int:
        """Waits until it is known how what runs is, and returns the generation from which on."""
        generations = self._roster.generations
        generation = generations.of(self._service)
        while not self._roster.settled and self._service in self._roster.services:
            generation = await generations.newer(generation, self._service)
        return generation

    def _found(self) -> list[service_pb2.Instance]:
        """Returns what was asked for. Errors: SERVICE_NOT_FOUND, INSTANCE_NOT_FOUND."""
        if self._service not in self._roster.services:
            raise Rejection(
                Reason.SERVICE_NOT_FOUND,
                f"no service is called {self._service!r}",
                service=self._service,
            )
        found = self._standing()
        if self._instance and not found:
            raise Rejection(
                Reason.INSTANCE_NOT_FOUND,
                f"service {self._service!r} has no instance {self._instance!r}; list them to see "
                "which there are",
                service=self._service,
                instance=self._instance,
            )
        return found

    def _standing(self) -> list[service_pb2.Instance]:
        return [
            each
            for each in self._roster.shown_instances(self._service)
            if each.id and (not self._instance or each.id == self._instance)
        ]

    def _begin(self, found: Iterable[service_pb2.Instance], tail_lines: int) -> None:
        for each in found:
            if each.state in _READABLE and each.task_id not in self._pumps:
                self._pumps[each.task_id] = asyncio.create_task(self._pump(each, tail_lines))

    async def _may_go_on(self, generation: int) -> bool:
        """Waits for a change; returns whether there may be more to read."""
        changed = asyncio.create_task(self._roster.generations.newer(generation, self._service))
        try:
            await asyncio.wait({changed, *self._running()}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        for pump in self._pumps.values():
            if pump.done():
                pump.result()
        return bool(self._running()) or bool(self._standing()) or self._awaits_more()

    def _awaits_more(self) -> bool:
        return not self._instance and self._service in self._roster.services

    def _running(self) -> list[asyncio.Task[None]]:
        return [pump for pump in self._pumps.values() if not pump.done()]

    async def _tell_last_words(self, each: service_pb2.Instance) -> None:
        """Tells what one said that ended and waits for its next start: its node has it no more."""
        if each.state in _READABLE or not each.last_exit.log:
            return
        texts = each.last_exit.log.splitlines()[-self._tail_lines :] if self._tail_lines else []
        lines = [pb.LogLine(time=each.last_exit.time, text=text) for text in texts]
        if lines:
            await self._place.put(pb.WatchLogsResponse(instance=each.id, lines=lines))

    async def _pump(self, each: service_pb2.Instance, tail_lines: int) -> None:
        """Brings the lines of one instance. Errors: NODE_UNREACHABLE if it is the only one."""
        told = _Told()
        async with self._seats:
            while True:
                try:
                    await self._pass_on(each, tail_lines, told)
                except UnreadableError as error:
                    begins = self._is_in(_BEGINNING, each.task_id)
                    if self._instance and not told.anything and not (self._follow and begins):
                        raise _unreachable(each, error) from None
                    if not (self._follow or told.anything or begins):
                        self._unread[each.task_id] = _unreachable(each, error)
                if not self._follow or not self._is_in(_READABLE, each.task_id):
                    return
                await asyncio.sleep(RESUME_S)
                told.again()
                tail_lines = TAIL_MAX

    async def _pass_on(self, each: service_pb2.Instance, tail_lines: int, told: _Told) -> None:
        node = self._roster.nodes.get(each.node)
        if node is None or node.session is None:
            raise UnreadableError("the node can't be reached")
        log = self._relay.read(node.session.id, each.task_id, tail_lines, follow=self._follow)
        async with aclosing(log):
            async for lines in log:
                fresh = told.fresh(lines)
                if fresh:
                    await self._place.put(pb.WatchLogsResponse(instance=each.id, lines=fresh))

    def _is_in(self, states: frozenset[int], task_id: str) -> bool:
        return any(each.task_id == task_id and each.state in states for each in self._standing())


class _Told:
    """What a reader has of one log. When it is taken up again it begins with lines of before."""

    def __init__(self) -> None:
        # The time of the last line, and how many of the last had that time.
        self._last = (0, 0)
        self._alike = 0
        # While it begins again: how many of that time are still to come again.
        self._again = False
        self._left = 0

    @property
    def anything(self) -> bool:
        """Whether there was a line yet."""
        return self._alike > 0

    def again(self) -> None:
        """Takes note that the log begins again, somewhere in what was told."""
        self._again, self._left = self.anything, self._alike

    def fresh(self, lines: Lines) -> list[pb.LogLine]:
        """Returns those of the next lines that were not told before, as far as times tell."""
        made = []
        for line in lines:
            at = (line.time.seconds, line.time.nanos)
            if self._again and (at < self._last or (at == self._last and self._left)):
                self._left -= at == self._last
                continue
            self._again = False
            made.append(line)
            self._last, self._alike = at, self._alike + 1 if at == self._last else 1
        return made


def _unreachable(each: service_pb2.Instance, error: UnreadableError) -> Rejection:
    return Rejection(
        Reason.NODE_UNREACHABLE,
        f"the log of {each.id} on node {each.node!r} can't be read now: {error}",
        instance=each.id,
        node=each.node,
    )
