"""Bad input is refused by name, with the field and a remedy, and changes nothing."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import pytest
from bad_input import CLIENTS, SPECS, Row, World
from bad_service_input import NODES, SERVICES
from bad_worker_input import OPERATORS, WORKERS
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from node_by_hand import create, node
from wired_master import WiredMaster, read, succeeded

from pullwork.errors import BY_REASON, DOMAIN
from pullwork.v1 import (
    master_service_pb2,
    node_service_pb2,
    orchestrator_service_pb2,
    queue_service_pb2,
    registry_service_pb2,
    task_pb2,
    task_service_pb2,
)

ROWS = [*SPECS, *CLIENTS, *WORKERS, *OPERATORS, *SERVICES, *NODES]


# Calls whose request is a stream.
STREAMED = {"SendLogs"}


def _name(row: Row) -> str:
    return f"{row.method}-{row.field or row.reason}-{row.says}"


async def _world(master: WiredMaster) -> World:
    worker = await master.worker("a worker")
    task_ids = await master.submit_many(3, owner="o")
    ended, running = await worker.request(max_tasks=2)
    await worker.report(succeeded(ended))
    page = await master.tasks.ListTasks(task_service_pb2.ListTasksRequest(page_size=1))
    await create(master, "web")
    kept = await node(master)
    return World(
        store_id=master.engine.store_id,
        session=worker.session_id,
        token=running.lease_token,
        waiting_id=task_ids[2],
        running_id=running.task_id,
        ended_id=ended.task_id,
        page_token=page.next_page_token,
        node_session=kept.session_id,
    )


async def _all_there_is(master: WiredMaster) -> list[Any]:
    """Returns all that a client can see, and what the storage keeps."""
    tasks = await master.tasks.ListTasks(task_service_pb2.ListTasksRequest(page_size=1_000))
    wholes = [await master.get(task.spec.task_id) for task in tasks.tasks]
    workers = await master.registry.ListWorkers(registry_service_pb2.ListWorkersRequest())
    for worker in workers.workers:
        worker.ClearField("silent_for")
    queues = await master.queues.ListQueues(queue_service_pb2.ListQueuesRequest())
    services = await master.services.ListServices(orchestrator_service_pb2.ListServicesRequest())
    nodes = await master.services.ListNodes(orchestrator_service_pb2.ListNodesRequest())
    return [wholes, workers, queues, services, nodes]


async def _call(master: WiredMaster, row: Row, request: Any) -> None:
    for stub in master.stubs:
        method = getattr(stub, row.method, None)
        if method is not None:
            call = method(iter([request]) if row.method in STREAMED else request, timeout=10)
            if isinstance(call, grpc.aio.UnaryStreamCall):
                await read(call)
            else:
                await call


@pytest.mark.parametrize("row", ROWS, ids=_name)
async def test_a_bad_request_is_refused_by_name_and_changes_nothing(
    master: WiredMaster, row: Row
) -> None:
    world = await _world(master)
    before = await _all_there_is(master)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _call(master, row, row.request(world))
    _is_as_promised(row, caught.value)
    assert await _all_there_is(master) == before


def _is_as_promised(row: Row, error: grpc.aio.AioRpcError) -> None:
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status = rpc_status.from_call(error)
    assert status is not None, f"has no details: {error.details()}"
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == (row.reason, DOMAIN)
    assert error.code().name == BY_REASON[row.reason].code
    message = error.details() or ""
    assert row.says in message
    if row.field:
        assert status.details[1].Unpack(bad)
        (violation,) = bad.field_violations
        assert (violation.field, violation.description) == (row.field, message)
    if row.reason == "INVALID_FIELD":
        assert message.startswith(f"{row.field} ")
    elif row.reason.endswith("NOT_FOUND") or row.reason == "SESSION_LOST":
        assert any(value in message for value in info.metadata.values())


async def test_a_name_that_two_workers_have_is_refused_with_their_sessions(
    master: WiredMaster,
) -> None:
    workers = [await master.worker(name) for name in ("a", "b")]
    # Names are taken over, so that two of one name stand only for the moment of a step.
    for session in master.engine.core.book.sessions.values():
        session.name = "twin"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await master.registry.EvictWorker(registry_service_pb2.EvictWorkerRequest(worker="twin"))
    message = caught.value.details() or ""
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert all(worker.session_id in message for worker in workers)


def test_the_table_tries_every_method_that_can_refuse_a_field() -> None:
    cannot = {"ListQueues", "WatchRegistry", "WatchServices"}
    methods = {
        method.name
        for file in (
            task_service_pb2,
            queue_service_pb2,
            registry_service_pb2,
            master_service_pb2,
            orchestrator_service_pb2,
            node_service_pb2,
        )
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert {row.method for row in ROWS} == methods - cannot


async def test_a_master_that_was_sent_all_of_this_works_on(stored: WiredMaster) -> None:
    world = await _world(stored)
    before = await _all_there_is(stored)
    for row in ROWS:
        with pytest.raises(grpc.aio.AioRpcError):
            await _call(stored, row, row.request(world))
    assert await _all_there_is(stored) == before
    worker = await stored.worker("another")
    await stored.run_all(worker, 1)
    assert (await stored.get(world.waiting_id)).state == task_pb2.TASK_STATE_SUCCEEDED
