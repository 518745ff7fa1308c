"""KEDA's ExternalScaler at the master's port, asked with the stubs of KEDA's own proto."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import grpc.aio
import pytest
from wired_master import WiredMaster, read, refusal, serving, succeeded

from pullwork.errors import InvalidFieldError
from pullwork.v1 import queue_service_pb2
from pullwork_master.keda import externalscaler_pb2 as pb
from pullwork_master.keda import externalscaler_pb2_grpc
from pullwork_master.storage.memory import MemoryStorage
from pullwork_master.wire import scaler_service
from pullwork_master.wire.scaler_service import ScalerService

# What KEDA itself puts there.
KEDAS = {"scalerAddress": "pullwork-master:7733", "unsafeSsl": "false", "enableTLS": "false"}


class Keda:
    """Asks as KEDA does."""

    def __init__(self, master: WiredMaster, **metadata: str) -> None:
        self.stub = externalscaler_pb2_grpc.ExternalScalerStub(master.channel)
        given = KEDAS | {"queue": "default"} | metadata
        self.ref = pb.ScaledObjectRef(name="workers", namespace="here", scalerMetadata=given)

    async def active(self) -> bool:
        return (await self.stub.IsActive(self.ref)).result

    async def spec(self) -> dict[str, tuple[int, float]]:
        specs = (await self.stub.GetMetricSpec(self.ref)).metricSpecs
        return {spec.metricName: (spec.targetSize, spec.targetSizeFloat) for spec in specs}

    async def metric(self, name: str) -> float:
        request = pb.GetMetricsRequest(scaledObjectRef=self.ref, metricName=name)
        [value] = (await self.stub.GetMetrics(request)).metricValues
        assert value.metricName == name
        assert value.metricValue == round(value.metricValueFloat)
        return value.metricValueFloat


async def waiting_and_running_tasks_are_work(master: WiredMaster) -> None:
    keda = Keda(master)
    assert (await keda.active(), await keda.metric("tasks")) == (False, 0)
    await master.submit_many(3)
    worker = await master.worker()
    tickets = await worker.request(2)
    assert (await keda.active(), await keda.metric("tasks")) == (True, 3)
    await worker.report(*map(succeeded, tickets))
    [last] = await worker.request(1)
    assert await keda.metric("tasks") == 1, "one runs, and its worker must not be taken away"
    await worker.report(succeeded(last))
    assert (await keda.active(), await keda.metric("tasks")) == (False, 0)


async def what_waits_in_a_paused_queue_is_no_work(master: WiredMaster) -> None:
    await master.submit_many(3)
    worker = await master.worker()
    await worker.request(1)
    await master.queues.PauseQueue(queue_service_pb2.PauseQueueRequest(name="default"))
    keda = Keda(master, oldestSeconds="30", tasksPerWorker="1")
    assert await keda.metric("tasks") == 1, "only the one that runs"
    assert await keda.metric("oldest-seconds") == 0


async def a_stream_tells_at_once_and_when_it_changes(master: WiredMaster) -> None:
    keda = Keda(master)
    stream = keda.stub.StreamIsActive(keda.ref)
    assert (await read(stream)).result is False
    await master.submit()
    assert (await read(stream)).result is True
    worker = await master.worker()
    await master.run_all(worker, 1)
    assert (await read(stream)).result is False
    await master.stop(grace_s=0.5)
    assert await stream.code() is grpc.StatusCode.OK, "it ends before the master's port closes"


LAWS = (
    waiting_and_running_tasks_are_work,
    what_waits_in_a_paused_queue_is_no_work,
    a_stream_tells_at_once_and_when_it_changes,
)


@pytest.fixture(autouse=True)
def _streams_look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaler_service, "LOOK_EVERY_S", 0.02)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
async def test_the_scaler_keeps(
    master: WiredMaster, law: Callable[[WiredMaster], Awaitable[None]]
) -> None:
    await law(master)


async def test_the_age_is_that_of_the_oldest_task_that_is_ready(stored: WiredMaster) -> None:
    keda = Keda(stored, oldestSeconds="30")
    await stored.submit(priority=-3)
    await stored.submit(delay={"seconds": 3600})
    await stored.advance(10_000)
    await stored.submit(priority=9)
    await stored.advance(2_000)
    assert await keda.metric("oldest-seconds") == pytest.approx(12, abs=0.01)
    worker = await stored.worker()
    await worker.request(1)
    assert await keda.metric("oldest-seconds") == pytest.approx(12, abs=0.01), "the other waits"
    await worker.request(1)
    assert await keda.metric("oldest-seconds") == 0, "what is scheduled does not wait yet"


async def test_a_type_is_counted_alone(master: WiredMaster) -> None:
    await master.submit_many(3, type="a")
    await master.submit_many(2, type="b")
    await master.submit_many(5, type="a", queue="else")
    assert await Keda(master).metric("tasks") == 5
    assert await Keda(master, type="a").metric("tasks") == 3
    assert await Keda(master, type="c").metric("tasks") == 0
    assert await Keda(master, queue="nowhere").active() is False, "a queue comes with its tasks"


@pytest.mark.parametrize(
    ("metadata", "spec"),
    [
        ({}, {"tasks": (5, 5.0)}),
        ({"tasksPerWorker": "0.5"}, {"tasks": (1, 0.5)}),
        ({"oldestSeconds": "30"}, {"oldest-seconds": (30, 30.0)}),
        (
            {"oldestSeconds": "90", "tasksPerWorker": "20"},
            {"tasks": (20, 20.0), "oldest-seconds": (90, 90.0)},
        ),
    ],
)
async def test_the_metrics_are_those_that_the_trigger_names(
    master: WiredMaster, metadata: dict[str, str], spec: dict[str, tuple[int, float]]
) -> None:
    assert await Keda(master, **metadata).spec() == spec


@pytest.mark.parametrize(
    ("metadata", "field", "words"),
    [
        ({"queue": ""}, "metadata.queue", "is required"),
        ({"queue": "no such name!"}, "metadata.queue", "must be 1 to 128"),
        ({"type": "no such type!"}, "metadata.type", "must be 1 to 128"),
        ({"tasksPerWorker": "0"}, "metadata.tasksPerWorker", "a number above 0"),
        ({"tasksPerWorker": "many"}, "metadata.tasksPerWorker", "'many'"),
        ({"oldestSeconds": "nan"}, "metadata.oldestSeconds", "a number above 0"),
        ({"oldestSecond": "9"}, "metadata.oldestSecond", "did you mean oldestSeconds?"),
        ({"tasks_per_worker": "9"}, "metadata.tasks_per_worker", "did you mean tasksPerWorker?"),
    ],
)
async def test_metadata_that_can_not_be_used_is_named(
    master: WiredMaster, metadata: dict[str, str], field: str, words: str
) -> None:
    keda = Keda(master, **metadata)
    for call in (keda.stub.IsActive(keda.ref), keda.stub.GetMetricSpec(keda.ref)):
        error = await refusal(call)
        assert isinstance(error, InvalidFieldError)
        assert error.field == field
        assert words in str(error)
    error = await refusal(read(keda.stub.StreamIsActive(keda.ref)))
    assert isinstance(error, InvalidFieldError)


async def test_a_metric_that_the_trigger_does_not_name_is_refused(master: WiredMaster) -> None:
    error = await refusal(Keda(master).metric("oldest-seconds"))
    assert isinstance(error, InvalidFieldError)
    assert "this ScaledObject has tasks" in str(error)


async def test_targets_are_not_streamed(master: WiredMaster) -> None:
    keda = Keda(master)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await keda.stub.StreamMetricSpec(keda.ref).read()
    # KEDA then goes on with GetMetricSpec.
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def running_is_no_work(patch: pytest.MonkeyPatch) -> None:
    def waiting_only(self: ScalerService, target: scaler_service.Target) -> int:
        return sum(line.queued for line in self._lines(target))

    patch.setattr(ScalerService, "_tasks", waiting_only)


def pause_is_not_heeded(patch: pytest.MonkeyPatch) -> None:
    def all_of_it(self: ScalerService, target: scaler_service.Target) -> int:
        return sum(line.queued + line.running for line in self._lines(target))

    patch.setattr(ScalerService, "_tasks", all_of_it)


def streams_outlive_the_master(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ScalerService, "stop", lambda self: None)


@pytest.mark.parametrize(
    ("plant", "law"),
    [
        (running_is_no_work, waiting_and_running_tasks_are_work),
        (pause_is_not_heeded, what_waits_in_a_paused_queue_is_no_work),
        (streams_outlive_the_master, a_stream_tells_at_once_and_when_it_changes),
    ],
    ids=lambda it: it.__name__,
)
async def test_a_planted_bug_is_caught(
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
    law: Callable[[WiredMaster], Awaitable[None]],
) -> None:
    plant(monkeypatch)
    async with serving(MemoryStorage()) as master:
        with pytest.raises((AssertionError, grpc.aio.AioRpcError)):
            await law(master)
