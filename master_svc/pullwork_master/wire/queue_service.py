"""QueueService: what operators call about queues."""

from __future__ import annotations

from typing import Any, Final

import grpc.aio

from pullwork.v1 import queue_pb2, queue_service_pb2_grpc
from pullwork.v1 import queue_service_pb2 as pb
from pullwork_master.core import limits as bounds
from pullwork_master.core.commands import Purged, PurgeStep, SetLimits, SetPaused
from pullwork_master.core.model import NO_LIMITS, Queue
from pullwork_master.engine import Engine
from pullwork_master.wire import convert, fields

# The largest of each limit that is a whole number.
_MOST: Final = {
    "tasks_max": bounds.TASKS_BOUND_MAX,
    "concurrency": bounds.CONCURRENCY_MAX,
    "burst": bounds.CONCURRENCY_MAX,
    "concurrency_per_key": bounds.CONCURRENCY_MAX,
    "burst_per_key": bounds.CONCURRENCY_MAX,
    "weight": bounds.WEIGHT_MAX,
}

Context = grpc.aio.ServicerContext[Any, Any]


class QueueService(queue_service_pb2_grpc.QueueServiceServicer):
    """Translates between operators and the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def ListQueues(
        self, request: pb.ListQueuesRequest, context: Context
    ) -> pb.ListQueuesResponse:
        """Shows all queues."""
        queues = self._engine.core.book.queues
        return pb.ListQueuesResponse(queues=[self._shown(queues[name]) for name in sorted(queues)])

    async def GetQueue(self, request: pb.GetQueueRequest, context: Context) -> pb.GetQueueResponse:
        """Shows one queue."""
        name = fields.name(request.name, "name")
        return pb.GetQueueResponse(queue=self._shown(self._engine.core.clients.known_queue(name)))

    async def PauseQueue(
        self, request: pb.PauseQueueRequest, context: Context
    ) -> pb.PauseQueueResponse:
        """Stops grants."""
        return pb.PauseQueueResponse(queue=await self._set_paused(request.name, paused=True))

    async def ResumeQueue(
        self, request: pb.ResumeQueueRequest, context: Context
    ) -> pb.ResumeQueueResponse:
        """Allows grants."""
        return pb.ResumeQueueResponse(queue=await self._set_paused(request.name, paused=False))

    async def PurgeQueue(
        self, request: pb.PurgeQueueRequest, context: Context
    ) -> pb.PurgeQueueResponse:
        """Cancels what waits, in steps, so that others are served in between."""
        name = fields.own_queue(request.name, "name")
        cancelled, before_seq, done = 0, 0, False
        while not done:
            purged: Purged = await self._engine.ask(PurgeStep(name, before_seq))
            cancelled += purged.cancelled
            before_seq, done = purged.before_seq, purged.done
        return pb.PurgeQueueResponse(cancelled=cancelled)

    async def SetQueueLimits(
        self, request: pb.SetQueueLimitsRequest, context: Context
    ) -> pb.SetQueueLimitsResponse:
        """Changes a queue's limits."""
        name, changes = fields.own_queue(request.name, "name"), _limits(request.limits)
        if not (changes or request.clear):
            fields.refuse("limits", "says nothing; name a limit, or set clear")
        command = SetLimits(name, changes, request.clear)
        return pb.SetQueueLimitsResponse(queue=self._shown(await self._engine.ask(command)))

    async def _set_paused(self, name: str, *, paused: bool) -> queue_pb2.Queue:
        name = fields.own_queue(name, "name")
        queue: Queue = await self._engine.ask(SetPaused(name, paused))
        return self._shown(queue)

    def _shown(self, queue: Queue) -> queue_pb2.Queue:
        return convert.queue(queue, self._engine.core.book, self._engine.now())


def _limits(asked: queue_pb2.QueueLimits) -> dict[str, int | float]:
    """Checks the limits that are named."""
    said = {field.name: value for field, value in asked.ListFields()}
    for name, most in _MOST.items():
        if name in said:
            fields.number(said[name], f"limits.{name}", 0, most)
    for name in ("rate", "rate_per_key"):
        rate = said.get(name, 0.0)
        # What is no number is not equal to itself, and not between any two.
        if rate != 0 and not bounds.RATE_MIN <= rate <= bounds.RATE_MAX:
            fields.refuse(
                f"limits.{name}",
                f"is {rate:g} a second; it must be from 1/3600 to {bounds.RATE_MAX:,.0f}, or 0: "
                "no limit",
            )
    if said.get("weight") == 0:
        said["weight"] = NO_LIMITS.weight
    return said
