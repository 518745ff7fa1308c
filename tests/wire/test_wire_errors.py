"""Every error carries its reason; a bug carries only an id that is in the log."""

from __future__ import annotations

import gc
import logging
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from wired_master import WiredMaster, read

from pullwork.errors import BY_REASON, DOMAIN, WIRE_ERRORS, PullworkError
from pullwork.status import from_rpc_error
from pullwork.v1 import master_service_pb2 as m
from pullwork.v1 import node_service_pb2 as n
from pullwork.v1 import orchestrator_service_pb2 as o
from pullwork.v1 import queue_service_pb2 as q
from pullwork.v1 import registry_service_pb2 as r
from pullwork.v1 import task_pb2
from pullwork.v1 import task_service_pb2 as t
from pullwork_master.core.rejections import Reason, Rejection
from pullwork_master.wire.master_service import MasterService
from pullwork_master.wire.node_service import NodeService
from pullwork_master.wire.orchestrator_service import OrchestratorService
from pullwork_master.wire.queue_service import QueueService
from pullwork_master.wire.registry_service import RegistryService
from pullwork_master.wire.task_service import TaskService

ID = "0198c0de-0000-7000-8000-00000000abcd"
SECRET = "the password is swordfish"

# One call of every method, of the right shape.
CALLS: list[tuple[str, Any]] = [
    ("Register", m.RegisterRequest(worker_name="w", boot_id="b", task_types=["t"], slots=1)),
    ("TaskIncoming", m.TaskIncomingRequest(session_id="s")),
    ("RequestTask", m.RequestTaskRequest(session_id="s", max_tasks=1)),
    ("ReportResult", m.ReportResultRequest(session_id="s")),
    ("Heartbeat", m.HeartbeatRequest(session_id="s")),
    ("Deregister", m.DeregisterRequest(session_id="s")),
    ("SubmitTasks", t.SubmitTasksRequest(tasks=[task_pb2.TaskSpec(type="t")])),
    ("RunTask", t.RunTaskRequest(task=task_pb2.TaskSpec(type="t"))),
    ("GetTask", t.GetTaskRequest(task_id=ID)),
    ("ListTasks", t.ListTasksRequest()),
    ("WatchTasks", t.WatchTasksRequest(task_ids=[ID])),
    ("CancelTasks", t.CancelTasksRequest(task_ids=[ID])),
    ("RetryTasks", t.RetryTasksRequest(task_ids=[ID])),
    ("ExplainTask", t.ExplainTaskRequest(task_id=ID)),
    ("ListQueues", q.ListQueuesRequest()),
    ("GetQueue", q.GetQueueRequest(name="default")),
    ("PauseQueue", q.PauseQueueRequest(name="default")),
    ("ResumeQueue", q.ResumeQueueRequest(name="default")),
    ("SetQueueLimits", q.SetQueueLimitsRequest(name="default", clear=True)),
    ("PurgeQueue", q.PurgeQueueRequest(name="default")),
    ("ListMembers", r.ListMembersRequest()),
    ("ListWorkers", r.ListWorkersRequest()),
    ("WatchRegistry", r.WatchRegistryRequest()),
    ("DrainWorker", r.DrainWorkerRequest(worker="w")),
    ("EvictWorker", r.EvictWorkerRequest(worker="w")),
    ("CreateService", o.CreateServiceRequest(name="w", spec={"image": "i"})),
    ("GetService", o.GetServiceRequest(name="w")),
    ("ListServices", o.ListServicesRequest()),
    ("ScaleService", o.ScaleServiceRequest(name="w", instances=1)),
    ("UpdateService", o.UpdateServiceRequest(name="w", spec={"image": "i"})),
    ("DeleteService", o.DeleteServiceRequest(name="w")),
    ("ListInstances", o.ListInstancesRequest()),
    ("WatchServices", o.WatchServicesRequest()),
    ("WatchInstances", o.WatchInstancesRequest()),
    ("WatchLogs", o.WatchLogsRequest(service="w")),
    ("ListNodes", o.ListNodesRequest()),
    ("ReportInstances", n.ReportInstancesRequest(session_id="s")),
    ("SendLogs", n.SendLogsRequest(session_id="s", log_id="l")),
]


async def _failed(master: WiredMaster, method: str, request: Any) -> grpc.aio.AioRpcError:
    """Calls a method that must fail."""
    for stub in master.stubs:
        if hasattr(stub, method):
            asked = iter([request]) if method == "SendLogs" else request
            call = getattr(stub, method)(asked, timeout=10)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await (read(call) if isinstance(call, grpc.aio.UnaryStreamCall) else call)
            return caught.value
    raise AssertionError(f"no service has {method}")


def test_every_reason_of_the_core_has_its_row() -> None:
    assert {str(reason) for reason in Reason} <= BY_REASON.keys()
    assert {error.reason for error in WIRE_ERRORS} - {str(reason) for reason in Reason} == {
        "INTERNAL"
    }


def test_every_row_has_a_status_code_and_a_sentence() -> None:
    for error in WIRE_ERRORS:
        assert grpc.StatusCode[error.code]
        assert error.__doc__
    assert len(BY_REASON) == len(WIRE_ERRORS)


@pytest.mark.parametrize("reason", list(Reason))
async def test_a_rejection_reaches_the_caller_with_all_that_it_says(
    master: WiredMaster, monkeypatch: pytest.MonkeyPatch, reason: Reason
) -> None:
    async def refuse(command: object) -> object:
        raise Rejection(reason, "why", field="the.field", retry_after_ms=1_500, a="1", b="ü")

    monkeypatch.setattr(master.engine, "ask", refuse)
    error = await _failed(master, "SubmitTasks", CALLS[6][1])
    assert error.code() is grpc.StatusCode[BY_REASON[reason].code]
    status = rpc_status.from_call(error)
    assert status is not None
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail, into in zip(status.details, (info, bad, retry), strict=True):
        assert detail.Unpack(into)
    assert (info.reason, info.domain, dict(info.metadata)) == (reason, DOMAIN, {"a": "1", "b": "ü"})
    assert bad.field_violations[0].field == "the.field"
    assert retry.retry_delay.ToMilliseconds() == 1_500
    public = from_rpc_error(error)
    assert type(public) is BY_REASON[reason]
    assert (str(public), public.field, public.retry_after_s) == ("why", "the.field", 1.5)


def test_the_calls_here_are_all_there_are() -> None:
    modules = (m, t, q, r, o, n)
    methods = [
        method.name
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    assert [name for name, _ in CALLS] == methods


@pytest.mark.parametrize(("method", "request_"), CALLS, ids=[name for name, _ in CALLS])
async def test_a_bug_tells_an_id_that_is_in_the_log_and_nothing_else(
    master: WiredMaster,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
    request_: Any,
) -> None:
    class Broken:
        """Stands for whatever a handler touches."""

        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(SECRET)

    for handler in _handlers(master):
        for name in (
            "_engine",
            "_disk",
            "_registry",
            "_watchers",
            "_streams",
            "_orchestrator",
            "_watches",
        ):
            if hasattr(handler, name):
                monkeypatch.setattr(handler, name, Broken())
    error = await _failed(master, method, request_)
    assert error.code() is grpc.StatusCode.INTERNAL
    public: PullworkError = from_rpc_error(error)
    error_id = public.metadata.pop("error_id", "")
    assert error_id
    assert public.reason == "INTERNAL"
    assert public.metadata == {}
    assert error_id in (error.details() or "")
    assert SECRET not in f"{error.details()}{error.debug_error_string()}{error.trailing_metadata()}"
    (record,) = [each for each in caplog.records if getattr(each, "error_id", "") == error_id]
    assert record.levelno == logging.ERROR
    assert record.__dict__["method"].endswith(f"/{method}")
    assert record.exc_info is not None
    assert SECRET in str(record.exc_info[1])


def _handlers(master: WiredMaster) -> list[Any]:
    """Returns the objects behind our services, as the server holds them."""
    kinds = (MasterService, QueueService, RegistryService, TaskService, NodeService)
    found: list[Any] = [
        each
        for each in gc.get_objects()
        if isinstance(each, kinds) and each._engine is master.engine
    ]
    found += [
        each
        for each in gc.get_objects()
        if isinstance(each, OrchestratorService) and each._orchestrator is master.orchestrator
    ]
    return found


async def test_a_bug_in_one_call_leaves_the_others_alone(
    master: WiredMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(master.disk, "get", None)
        error = await _failed(master, "GetTask", t.GetTaskRequest(task_id=ID))
        assert error.code() is grpc.StatusCode.INTERNAL
    (task_id,) = await master.submit()
    assert (await master.get(task_id)).state == task_pb2.TASK_STATE_QUEUED


async def test_an_unknown_method_is_unimplemented(master: WiredMaster) -> None:
    call = master.channel.unary_unary("/pullwork.v1.TaskService/Nonsense")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_bytes_that_are_no_message_are_refused_and_harm_nobody(master: WiredMaster) -> None:
    call = master.channel.unary_unary("/pullwork.v1.TaskService/SubmitTasks")
    with pytest.raises(grpc.aio.AioRpcError):
        await call(b"\xff\xff\xff")
    assert await master.submit()
