"""KEDA's ExternalScaler: tells an autoscaler how much work there is for a group of workers.

It reads counts that the core keeps anyway, and asks the disk only for an age. It changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NamedTuple

import grpc.aio

from pullwork.settings.names import near
from pullwork_master.core.ready import Line
from pullwork_master.engine import Engine
from pullwork_master.keda import externalscaler_pb2 as pb
from pullwork_master.keda import externalscaler_pb2_grpc
from pullwork_master.views import Views
from pullwork_master.wire import fields

SERVICE: Final = pb.DESCRIPTOR.services_by_name["ExternalScaler"].full_name

# The metrics, by the names under which KEDA asks for them again.
TASKS: Final = "tasks"
OLDEST: Final = "oldest-seconds"

QUEUE: Final = "queue"
TYPE: Final = "type"
TASKS_PER_WORKER: Final = "tasksPerWorker"
OLDEST_SECONDS: Final = "oldestSeconds"
OURS: Final = (QUEUE, TYPE, TASKS_PER_WORKER, OLDEST_SECONDS)
TASKS_PER_WORKER_DEFAULT: Final = 5.0
TARGET_MAX: Final = 1e9
# How soon a stream tells that work came or went; a look costs microseconds.
LOOK_EVERY_S: Final = 1.0

Context = grpc.aio.ServicerContext[Any, Any]


class Target(NamedTuple):
    """What a ScaledObject asks about."""

    queue: str
    # Empty: all types of the queue.
    type: str
    # By metric, what one worker is meant to have.
    targets: dict[str, float]


class ScalerService(externalscaler_pb2_grpc.ExternalScalerServicer):
    """Translates between KEDA and what the core counts."""

    def __init__(self, engine: Engine, disk: Views) -> None:
        self._engine = engine
        self._disk = disk
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ends all streams."""
        self._stopping.set()

    async def IsActive(self, request: pb.ScaledObjectRef, context: Context) -> pb.IsActiveResponse:
        """Tells whether one worker is needed at all."""
        return pb.IsActiveResponse(result=self._tasks(read_target(request)) > 0)

    async def StreamIsActive(
        self, request: pb.ScaledObjectRef, context: Context
    ) -> AsyncIterator[pb.IsActiveResponse]:
        """Tells it at once, and again whenever it changes."""
        target, told = read_target(request), None
        while not self._stopping.is_set():
            active = self._tasks(target) > 0
            if active is not told:
                told = active
                yield pb.IsActiveResponse(result=active)
            try:
                await asyncio.wait_for(self._stopping.wait(), LOOK_EVERY_S)
            except TimeoutError:
                continue

    async def GetMetricSpec(
        self, request: pb.ScaledObjectRef, context: Context
    ) -> pb.GetMetricSpecResponse:
        """Tells which metrics there are, and how much of each one worker is meant to have."""
        targets = read_target(request).targets
        return pb.GetMetricSpecResponse(
            metricSpecs=[
                # The whole number is for a KEDA that does not know the other field.
                pb.MetricSpec(metricName=name, targetSize=max(1, round(of)), targetSizeFloat=of)
                for name, of in targets.items()
            ]
        )

    async def GetMetrics(
        self, request: pb.GetMetricsRequest, context: Context
    ) -> pb.GetMetricsResponse:
        """Measures one metric now."""
        target = read_target(request.scaledObjectRef)
        name = request.metricName
        if name not in target.targets:
            known = ", ".join(target.targets)
            fields.refuse("metricName", f"is {name[:64]!r}; this ScaledObject has {known}")
        value = await self._age_s(target) if name == OLDEST else float(self._tasks(target))
        measured = pb.MetricValue(metricName=name, metricValue=round(value), metricValueFloat=value)
        return pb.GetMetricsResponse(metricValues=[measured])

    async def StreamMetricSpec(
        self, request: pb.ScaledObjectRef, context: Context
    ) -> AsyncIterator[pb.GetMetricSpecResponse]:
        """Is optional, and not offered: the targets stand in the ScaledObject."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the targets never change by themselves")
        yield pb.GetMetricSpecResponse()

    def _lines(self, target: Target) -> list[Line]:
        book = self._engine.core.book
        if target.type:
            line = book.lines.get((target.queue, target.type))
            return [line] if line is not None else []
        return list(book.lines_of(target.queue))

    def _tasks(self, target: Target) -> int:
        """Counts what waits and what runs: who runs must not be taken away.

        What waits in a paused queue is no work for anybody.
        """
        waits = not self._engine.core.book.paused(target.queue)
        return sum(line.running + waits * line.queued for line in self._lines(target))

    async def _age_s(self, target: Target) -> float:
        """Returns for how long the oldest task waits that may be granted."""
        book = self._engine.core.book
        types = [line.type for line in self._lines(target) if line.queued]
        if not types or book.paused(target.queue):
            return 0.0
        since_ms = await self._disk.waiting_since(target.queue, types)
        return max(0, book.now.wall_ms - since_ms) / 1000 if since_ms else 0.0


def read_target(request: pb.ScaledObjectRef) -> Target:
    """Takes a trigger's metadata; KEDA's own keys in it are passed over. Errors: Rejection."""
    given: Mapping[str, str] = request.scalerMetadata
    for key in given:
        meant = "" if key in OURS else near(key, list(OURS))
        if meant:
            fields.refuse(f"metadata.{key[:64]}", f"is no key of Pullwork{meant}")
    targets = {}
    if TASKS_PER_WORKER in given or OLDEST_SECONDS not in given:
        targets[TASKS] = _number(given, TASKS_PER_WORKER, TASKS_PER_WORKER_DEFAULT)
    if OLDEST_SECONDS in given:
        targets[OLDEST] = _number(given, OLDEST_SECONDS, 0.0)
    type_ = given.get(TYPE, "")
    return Target(
        fields.name(given.get(QUEUE, ""), f"metadata.{QUEUE}"),
        fields.name(type_, f"metadata.{TYPE}") if type_ else "",
        targets,
    )


def _number(given: Mapping[str, str], key: str, default: float) -> float:
    text = given.get(key, str(default))
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= TARGET_MAX:
        fields.refuse(f"metadata.{key}", f"is {text[:64]!r}; it must be a number above 0")
    return value
