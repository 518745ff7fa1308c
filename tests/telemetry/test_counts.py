"""What is counted is what was committed: no more, no less."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData

from pullwork.ids import new_task_id
from pullwork.telemetry import Telemetry
from pullwork_master.core.commands import NewTask, Submit
from pullwork_master.core.limits import Policy
from pullwork_master.core.model import Spec
from pullwork_master.core.rejections import Rejection
from pullwork_master.engine import Engine
from pullwork_master.storage.memory import MemoryStorage
from pullwork_master.telemetry.watch import Watch
from pullwork_master.views import Views

ROOM = 5


class Counted:
    """An engine with room for a few tasks, and what is counted of it."""

    def __init__(self) -> None:
        self.storage = MemoryStorage(tasks_max=ROOM)
        self.engine = Engine(self.storage, Policy(tell_moves=True))
        self._reader = InMemoryMetricReader()
        self.telemetry = Telemetry()
        self._provider = MeterProvider([self._reader], shutdown_on_exit=False)
        self.telemetry.meter = self._provider.get_meter("test")

    async def submit(self, count: int) -> None:
        specs = [Spec(id=new_task_id(), queue="default", type="a") for _ in range(count)]
        await self.engine.ask(Submit(tuple(map(NewTask, specs)), (), "tasks[{}].task_id"))

    async def sums(self) -> dict[str, float]:
        """Returns the sum of each metric, as a collector's thread gets them."""
        data = await asyncio.to_thread(self._reader.get_metrics_data)
        assert isinstance(data, MetricsData)
        return {
            metric.name: sum(getattr(point, "value", 0) for point in metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
async def counted() -> AsyncIterator[Counted]:
    """One at work."""
    made = Counted()
    await made.engine.start()
    disk = Views(made.storage.reader())
    watch = Watch(made.telemetry, made.engine, disk)
    writer = asyncio.create_task(made.engine.run())
    yield made
    made.engine.stop()
    await writer
    watch.stop()
    disk.close()
    await made.engine.close()


async def test_what_found_no_room_is_not_counted(counted: Counted) -> None:
    await counted.submit(ROOM - 1)
    with pytest.raises(Rejection):
        await counted.submit(2)
    await counted.submit(1)
    sums = await counted.sums()
    assert sums["pullwork.tasks.submitted"] == ROOM
    assert sums["pullwork.queue.tasks"] == ROOM


async def test_a_collector_reads_the_loop_of_an_engine_at_work(counted: Counted) -> None:
    """From its own thread, again and again, while the engine decides."""
    reading = asyncio.create_task(_read(counted, 20))
    for _ in range(ROOM):
        await counted.submit(1)
    seen = await reading
    assert seen == sorted(seen)
    assert (await counted.sums())["pullwork.tasks.submitted"] == ROOM


async def _read(counted: Counted, times: int) -> list[float]:
    return [(await counted.sums()).get("pullwork.tasks.submitted", 0) for _ in range(times)]
