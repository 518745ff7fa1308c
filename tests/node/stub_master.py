"""A master for one node, as the contract makes it: sessions, leases, and what is unwanted."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration

from pullwork.errors import SessionLostError
from pullwork.ids import new_task_id
from pullwork.status import to_status
from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1 import (
    master_service_pb2_grpc,
    node_service_pb2,
    node_service_pb2_grpc,
    service_pb2,
    task_pb2,
    worker_pb2,
)

Context = grpc.aio.ServicerContext[Any, Any]
Phase = service_pb2.InstanceState


@dataclass
class Task:
    """An instance, as the master has it."""

    id: str
    type: str
    payload: bytes
    attempt: int = 0
    token: str = ""
    cancelled: bool = False
    failure: task_pb2.Failure | None = None

    @property
    def details(self) -> dict[str, Any]:
        """What the failure says beyond words."""
        assert self.failure is not None
        found: dict[str, Any] = json.loads(self.failure.details)
        return found

    @property
    def stands(self) -> bool:
        """Whether it has not ended."""
        return not self.cancelled and self.failure is None


@dataclass
class Report:
    """What the node told last."""

    lines: dict[str, node_service_pb2.InstanceReport] = field(default_factory=dict)
    runners: list[str] = field(default_factory=list)
    problem: str = ""
    cpus: float = 0
    memory_bytes: int = 0


class StubMaster(master_service_pb2_grpc.MasterServiceServicer):
    """Attributes are levers: a test sets them, the next call feels them."""

    def __init__(self) -> None:
        self.cluster_id = "cluster-1"
        self.tasks: dict[str, Task] = {}
        # How long a test waits for what a law says.
        self.patience_s = 30.0
        self.silent = False
        # How many reports came meanwhile.
        self.unheard = 0
        # False: results are answered as if their leases had been lost.
        self.takes_results = True
        self.lease_s = 5.0
        self.registered: list[pb.RegisterRequest] = []
        self.reports: list[Report] = []
        self.deregistered: list[str] = []
        self.logs: dict[str, list[node_service_pb2.SendLogsRequest]] = {}
        self.log_ended: set[str] = set()
        self.read_no_more: set[str] = set()
        self.address = ""
        self._session = ""
        self._cause = ""
        self._events: asyncio.Queue[pb.TaskIncomingResponse | None] = asyncio.Queue()
        self._work = asyncio.Event()
        self._serial = itertools.count(1)

    @property
    def seen(self) -> Report:
        """The last report; an empty one before the first."""
        return self.reports[-1] if self.reports else Report()

    def state(self, task: Task) -> str:
        """Returns how an instance is, as was told last; empty: it is not there."""
        line = self.seen.lines.get(task.id)
        return "" if line is None else Phase.Name(line.state).removeprefix("INSTANCE_STATE_")

    # --- what a test does

    def submit(self, spec: service_pb2.InstanceSpec, type: str = "process") -> Task:
        """Makes a task for an instance."""
        task = Task(new_task_id(), f"pullwork.{type}", spec.SerializeToString())
        self.tasks[task.id] = task
        self._work.set()
        return task

    def cancel(self, task: Task, *, tell: bool = True) -> None:
        """Ends a task; its node hears of it on the stream, or by its inventory alone."""
        task.cancelled = True
        if tell:
            cancel = pb.TaskIncomingResponse.Cancel(lease_tokens=[task.token], reason="cancelled")
            self._events.put_nowait(pb.TaskIncomingResponse(cancel=cancel))

    def lose_leases(self) -> None:
        """Ends the session, as after a long silence: all tasks are queued again."""
        self._end_session()

    def take_name(self) -> None:
        """Ends the session as if another worker had taken the name."""
        self._cause = "NAME_TAKEN"
        self._end_session()

    def ask_log(self, task: Task, *, tail: int = 100, follow: bool = False) -> str:
        """Asks for a log."""
        log_id = f"log-{next(self._serial)}"
        self.logs[log_id] = []
        wanted = pb.TaskIncomingResponse.LogWanted(
            log_id=log_id, task_id=task.id, tail_lines=tail, follow=follow
        )
        self._events.put_nowait(pb.TaskIncomingResponse(log_wanted=wanted))
        return log_id

    def drain(self) -> None:
        """Asks the node to leave."""
        drain = pb.TaskIncomingResponse.Drain()
        self._events.put_nowait(pb.TaskIncomingResponse(drain=drain))

    def lines(self, log_id: str) -> list[str]:
        """Returns the lines that came for a log."""
        return [line.text for it in self.logs[log_id] for line in it.lines]

    def _end_session(self) -> None:
        self._session = ""
        for task in self.tasks.values():
            task.token = ""
        self._events.put_nowait(None)
        self._events = asyncio.Queue()
        self._work.set()

    # --- what a node calls

    async def _enter(self, session_id: str | None, context: Context) -> None:
        if self.silent:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "nobody is there")
        if session_id is not None and (not session_id or session_id != self._session):
            about = {"session_id": session_id, "cause": self._cause}
            await context.abort_with_status(
                to_status(SessionLostError("register anew", metadata=about))
            )

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        await self._enter(None, context)
        self.registered.append(request)
        self._end_session()
        self._session = f"session-{next(self._serial)}"
        return pb.RegisterResponse(
            session_id=self._session,
            heartbeat_interval=_duration(0.2),
            lease_duration=_duration(self.lease_s),
            grace=_duration(1),
            silence_grace=_duration(1),
            payload_bytes_max=1 << 20,
            cluster_id=self.cluster_id,
            held_verdicts=[
                pb.HeldVerdict(lease_token=it.lease_token, decision=pb.HELD_DECISION_ABANDON)
                for it in request.held
            ],
        )

    async def TaskIncoming(
        self, request: pb.TaskIncomingRequest, context: Context
    ) -> AsyncIterator[pb.TaskIncomingResponse]:
        await self._enter(request.session_id, context)
        events = self._events
        while True:
            event = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    event = await events.get()
                    if event is None:
                        break
            await self._enter(request.session_id, context)
            yield event or pb.TaskIncomingResponse(tick=pb.TaskIncomingResponse.Tick())
        await self._enter(request.session_id, context)

    async def RequestTask(
        self, request: pb.RequestTaskRequest, context: Context
    ) -> pb.RequestTaskResponse:
        await self._enter(request.session_id, context)
        while not (tickets := self._grant(request.max_tasks)):
            self._work.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await self._work.wait()
            await self._enter(request.session_id, context)
        return pb.RequestTaskResponse(tickets=tickets)

    def _grant(self, most: int) -> list[worker_pb2.Ticket]:
        tickets = []
        for task in self.tasks.values():
            if task.stands and not task.token and len(tickets) < most:
                task.attempt += 1
                task.token = f"{task.id}/{next(self._serial)}"
                tickets.append(
                    worker_pb2.Ticket(
                        task_id=task.id,
                        lease_token=task.token,
                        attempt=task.attempt,
                        type=task.type,
                        payload=task.payload,
                    )
                )
        return tickets

    async def ReportResult(
        self, request: pb.ReportResultRequest, context: Context
    ) -> pb.ReportResultResponse:
        await self._enter(request.session_id, context)
        verdicts = [self._judge(outcome) for outcome in request.outcomes]
        return pb.ReportResultResponse(
            verdicts=verdicts, tickets=self._grant(request.request_tasks)
        )

    def _judge(self, outcome: pb.Outcome) -> pb.Verdict.ValueType:
        for task in self.tasks.values():
            if task.token == outcome.lease_token and task.stands:
                if not self.takes_results:
                    task.token = ""
                    break
                task.failure = task_pb2.Failure.FromString(outcome.failure.SerializeToString())
                return pb.VERDICT_ACCEPTED
        return pb.VERDICT_STALE_LEASE

    async def Heartbeat(
        self, request: pb.HeartbeatRequest, context: Context
    ) -> pb.HeartbeatResponse:
        await self._enter(request.session_id, context)
        return pb.HeartbeatResponse(
            heartbeat_interval=_duration(0.2), lease_duration=_duration(self.lease_s)
        )

    async def Deregister(
        self, request: pb.DeregisterRequest, context: Context
    ) -> pb.DeregisterResponse:
        await self._enter(request.session_id, context)
        self.deregistered.append(request.reason)
        self._end_session()
        return pb.DeregisterResponse()

    async def ReportInstances(
        self, request: node_service_pb2.ReportInstancesRequest, context: Context
    ) -> node_service_pb2.ReportInstancesResponse:
        self.unheard += self.silent
        await self._enter(request.session_id, context)
        lines = {it.task_id: it for it in request.instances}
        runners = list(request.runners)
        report = Report(lines, runners, request.problem, request.cpus, request.memory_bytes)
        self.reports.append(report)
        unwanted = [id for id in lines if id not in self.tasks or not self.tasks[id].stands]
        return node_service_pb2.ReportInstancesResponse(unwanted_task_ids=unwanted)

    async def SendLogs(
        self, requests: AsyncIterator[node_service_pb2.SendLogsRequest], context: Context
    ) -> node_service_pb2.SendLogsResponse:
        log_id = ""
        async for it in requests:
            log_id = log_id or it.log_id
            self.logs[log_id].append(it)
            if log_id in self.read_no_more:
                break
        self.log_ended.add(log_id)
        return node_service_pb2.SendLogsResponse()


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[StubMaster]:
    """Serves a stub master at a port of its own."""
    master = StubMaster()
    server = grpc.aio.server()
    master_service_pb2_grpc.add_MasterServiceServicer_to_server(master, server)
    node_service_pb2_grpc.add_NodeServiceServicer_to_server(master, server)  # type: ignore[arg-type]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    master.address = f"127.0.0.1:{port}"
    try:
        yield master
    finally:
        await server.stop(None)


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(round(seconds * 1000))
    return duration
