"""MasterService: what workers call."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc.aio

from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1 import master_service_pb2_grpc, task_pb2, worker_pb2
from pullwork_master.core import limits
from pullwork_master.core.commands import (
    Deregister,
    Heartbeat,
    HeartbeatAnswer,
    Held,
    OpenStream,
    Outcome,
    Register,
    Registered,
    Released,
    Report,
    Reported,
    Request,
    StreamBroke,
    Success,
)
from pullwork_master.core.leases import parse_token
from pullwork_master.core.limits import Policy
from pullwork_master.core.model import NODE_PREFIX, Failure, FailureKind, Grant, Load
from pullwork_master.core.rejections import shutting_down
from pullwork_master.engine import Engine
from pullwork_master.reconciler.model import Runner
from pullwork_master.wire import convert, fields
from pullwork_master.wire.pace import Pace
from pullwork_master.wire.streams import Mailbox, News, Streams

Context = grpc.aio.ServicerContext[Any, Any]

_NODE_TYPES = tuple(runner.task_type for runner in Runner)


class MasterService(master_service_pb2_grpc.MasterServiceServicer):
    """Translates between workers and the engine."""

    def __init__(
        self, engine: Engine, policy: Policy, streams: Streams, masters: list[worker_pb2.Member]
    ) -> None:
        self._engine = engine
        self._policy = policy
        self._streams = streams
        self._masters = masters
        self._pace = Pace()

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        """Begins a session."""
        registered: Registered = await self._engine.ask(_register(request))
        verdicts = [
            pb.HeldVerdict(
                lease_token=held.lease_token,
                decision=pb.HELD_DECISION_KEEP if kept else pb.HELD_DECISION_ABANDON,
            )
            for held, kept in zip(request.held, registered.kept, strict=True)
        ]
        policy, interval_ms = self._policy, registered.session.interval_ms
        return pb.RegisterResponse(
            session_id=registered.session.id,
            term=self._engine.term,
            heartbeat_interval=convert.duration(interval_ms),
            grace=convert.duration(policy.grace_ms),
            silence_grace=convert.duration(policy.silence_grace_ms),
            lease_duration=convert.duration(policy.lease_ms(interval_ms)),
            held_verdicts=verdicts,
            masters=self._masters,
            payload_bytes_max=policy.payload_bytes_max,
            cluster_id=self._engine.cluster_id,
        )

    async def TaskIncoming(
        self, request: pb.TaskIncomingRequest, context: Context
    ) -> AsyncIterator[pb.TaskIncomingResponse]:
        """Tells a worker what it should know, and that the master is alive."""
        session_id = fields.text(request.session_id, "session_id", 128, required=True)
        # The mailbox stands before the core knows of the stream: no news falls between.
        box = self._streams.open(session_id)
        # In a task of its own: who breaks off before the answer has a stream to close too.
        opening = asyncio.create_task(self._engine.ask(OpenStream(session_id)))
        try:
            await asyncio.shield(opening)
            yield pb.TaskIncomingResponse(
                members=pb.TaskIncomingResponse.Members(masters=self._masters)
            )
            async for event in self._events(session_id, box):
                yield event
        finally:
            self._streams.close(session_id, box)
            opening.add_done_callback(partial(self._stream_broke, session_id))

    def _stream_broke(self, session_id: str, opening: asyncio.Task[int]) -> None:
        if not opening.cancelled() and opening.exception() is None:
            self._engine.tell(StreamBroke(session_id, opening.result()))

    async def _events(
        self, session_id: str, box: Mailbox
    ) -> AsyncIterator[pb.TaskIncomingResponse]:
        while True:
            core = self._engine.core
            session = core.book.sessions.get(session_id)
            tick_ms = self._policy.heartbeat_ms if session is None else session.tick_within_ms
            news = await box.take(tick_ms / 1000)
            core = self._engine.core
            if news.replaced:
                return
            if news.tick:
                yield self._tick()
                session = core.book.sessions.get(session_id)
                # A hint that was lost, or came when the worker was busy, is given again.
                if session is not None and session.parked is None:
                    news.available = core.dispatch.available(session)
            for event in _told(news):
                yield event
            if news.stopped:
                raise shutting_down()
            if news.ended is not None:
                raise core.sessions.lost(session_id)

    def _tick(self) -> pb.TaskIncomingResponse:
        time = convert.moment(self._engine.core.book.now.wall_ms)
        return pb.TaskIncomingResponse(
            tick=pb.TaskIncomingResponse.Tick(time=time, term=self._engine.term)
        )

    async def RequestTask(
        self, request: pb.RequestTaskRequest, context: Context
    ) -> pb.RequestTaskResponse:
        """Grants tasks, at once or within `wait`."""
        wait_ms = fields.duration_ms(request.wait, "wait") if request.HasField("wait") else 0
        if wait_ms > limits.WAIT_MS_MAX:
            fields.refuse(
                "wait", f"is longer than {limits.WAIT_MS_MAX // 1000} s; ask again after that"
            )
        command = Request(
            fields.text(request.session_id, "session_id", 128, required=True),
            fields.number(request.max_tasks, "max_tasks", 1, 2 * limits.WORKER_SLOTS_MAX),
            wait_ms,
            fields.text(request.request_id, "request_id", limits.REQUEST_ID_CHARS_MAX),
        )
        await self._pace.admit(command.session)
        grants: tuple[Grant, ...] = await self._engine.ask(command)
        if not grants:
            self._pace.empty(command.session)
        return pb.RequestTaskResponse(tickets=[convert.ticket(grant) for grant in grants])

    async def ReportResult(
        self, request: pb.ReportResultRequest, context: Context
    ) -> pb.ReportResultResponse:
        """Takes outcomes, and grants the next tasks."""
        command = Report(
            fields.text(request.session_id, "session_id", 128, required=True),
            self._outcomes(request),
            fields.number(request.request_tasks, "request_tasks", 0, 2 * limits.WORKER_SLOTS_MAX),
            fields.text(request.request_id, "request_id", limits.REQUEST_ID_CHARS_MAX),
        )
        if not command.outcomes:
            await self._pace.admit(command.session)
        reported: Reported = await self._engine.ask(command)
        if not command.outcomes and not reported.grants:
            self._pace.empty(command.session)
        return pb.ReportResultResponse(
            verdicts=[int(verdict) for verdict in reported.verdicts],  # type: ignore[misc]
            tickets=[convert.ticket(grant) for grant in reported.grants],
        )

    def _outcomes(self, request: pb.ReportResultRequest) -> tuple[Outcome, ...]:
        if len(request.outcomes) > limits.OUTCOMES_MAX:
            fields.count(len(request.outcomes), "outcomes", 0, limits.OUTCOMES_MAX)
        return tuple(
            _outcome(outcome, f"outcomes[{index}]", self._policy.payload_bytes_max)
            for index, outcome in enumerate(request.outcomes)
        )

    async def Heartbeat(
        self, request: pb.HeartbeatRequest, context: Context
    ) -> pb.HeartbeatResponse:
        """Takes a worker's inventory."""
        load = request.load
        command = Heartbeat(
            fields.text(request.session_id, "session_id", 128, required=True),
            _inventory(request.held),
            Load(load.cpu, load.memory, load.slots_busy),
            request.draining,
        )
        answer: HeartbeatAnswer = await self._engine.ask(command)
        return pb.HeartbeatResponse(
            abandon=answer.abandon,
            drain=answer.drain,
            heartbeat_interval=convert.duration(answer.interval_ms),
            lease_duration=convert.duration(self._policy.lease_ms(answer.interval_ms)),
        )

    async def Deregister(
        self, request: pb.DeregisterRequest, context: Context
    ) -> pb.DeregisterResponse:
        """Ends a session."""
        session_id = fields.text(request.session_id, "session_id", 128, required=True)
        reason = fields.text(request.reason, "reason", 1024)
        requeued: int = await self._engine.ask(Deregister(session_id, reason))
        return pb.DeregisterResponse(requeued=requeued)


def _register(request: pb.RegisterRequest) -> Register:
    queues = request.queues or ["default"]
    fields.count(len(queues), "queues", 1, limits.WORKER_QUEUES_MAX)
    fields.count(len(request.task_types), "task_types", 1, limits.WORKER_TYPES_MAX)
    if len(queues) * len(request.task_types) > limits.WORKER_LINES_MAX:
        fields.refuse(
            "task_types",
            f"times queues are {len(queues) * len(request.task_types)} lines; at most "
            f"{limits.WORKER_LINES_MAX} are taken",
        )
    _check_node(request)
    labels = dict(request.labels)
    fields.pairs(labels, "labels", limits.WORKER_LABELS_MAX, limits.HEADERS_BYTES_MAX)
    return Register(
        name=fields.text(request.worker_name, "worker_name", limits.NAME_CHARS_MAX, required=True),
        boot_id=fields.text(request.boot_id, "boot_id", limits.BOOT_ID_CHARS_MAX, required=True),
        queues=fields.names(queues, "queues"),
        types=fields.names(request.task_types, "task_types"),
        slots=fields.number(request.slots, "slots", 1, limits.WORKER_SLOTS_MAX),
        look_ahead_max=fields.number(
            request.look_ahead_max, "look_ahead_max", 0, limits.WORKER_SLOTS_MAX
        ),
        labels=tuple(sorted(labels.items())),
        version=fields.text(request.version, "version", limits.NAME_CHARS_MAX),
        held=_inventory(request.held),
    )


def _check_node(request: pb.RegisterRequest) -> None:
    """Lets only nodes serve queues of nodes, and no other worker be taken for one."""
    if request.worker_name.startswith(NODE_PREFIX) and request.worker_name not in request.queues:
        fields.refuse(
            "worker_name",
            f"is {request.worker_name[:80]!r}, a node's, which serves the queue of that name only; "
            "choose another",
        )
    for index, queue in enumerate(request.queues):
        if not queue.startswith(NODE_PREFIX):
            continue
        if len(request.queues) > 1:
            fields.refuse(
                f"queues[{index}]", f"is {queue!r}, a node's; a node serves its own queue only"
            )
        if request.worker_name != queue:
            fields.refuse("worker_name", f"must be {queue!r} for the node that serves this queue")
        for place, type_ in enumerate(request.task_types):
            if type_ not in _NODE_TYPES:
                fields.refuse(
                    f"task_types[{place}]",
                    f"is {type_!r}; a node takes instances only: {', '.join(_NODE_TYPES)}",
                )


def _inventory(listed: Any) -> tuple[Held, ...]:
    if not listed:
        return ()
    fields.count(len(listed), "held", 0, 2 * limits.WORKER_SLOTS_MAX)
    held = []
    for index, item in enumerate(listed):
        fraction = item.fraction if item.HasField("fraction") else None
        if fraction is not None and not 0 <= fraction <= 1:
            fields.refuse(f"held[{index}].fraction", f"is {fraction}; it must be from 0 to 1")
        checkpoint = item.checkpoint if item.HasField("checkpoint") else None
        if checkpoint is not None and len(checkpoint) > limits.CHECKPOINT_BYTES_MAX:
            fields.refuse(
                f"held[{index}].checkpoint",
                f"has {len(checkpoint)} bytes; at most {limits.CHECKPOINT_BYTES_MAX} are taken",
            )
        message = item.message if item.HasField("message") else None
        held.append(Held(item.lease_token, item.started, fraction, message, checkpoint))
    return tuple(held)


def _outcome(outcome: pb.Outcome, where: str, payload_bytes_max: int) -> Outcome:
    token = outcome.lease_token
    if parse_token(token) is None:
        fields.refuse(
            f"{where}.lease_token", f"is {token[:64]!r}; it must be as it came on the ticket"
        )
    kind = outcome.WhichOneof("outcome")
    if kind == "success":
        data, content_type = outcome.success.data, outcome.success.content_type
        if len(data) > payload_bytes_max:
            fields.refuse(
                f"{where}.success.data",
                f"has {len(data)} bytes; at most {payload_bytes_max} are taken: report a failure",
            )
        fields.text(content_type, f"{where}.success.content_type", limits.CONTENT_TYPE_CHARS_MAX)
        digest = hashlib.blake2b(data, digest_size=8, person=b"success").digest()
        return Outcome(token, Success(data, content_type), digest)
    if kind == "failure":
        wire = outcome.failure.SerializeToString(deterministic=True)
        digest = hashlib.blake2b(wire, digest_size=8, person=b"failure").digest()
        return Outcome(token, _failure(outcome.failure, f"{where}.failure"), digest)
    if kind == "released":
        return Outcome(token, Released(), b"released")
    return fields.refuse(where, "says nothing; set success, failure or released")


def _failure(shown: task_pb2.Failure, where: str) -> Failure:
    kind = shown.kind or FailureKind.APPLICATION
    if kind not in set(FailureKind):
        fields.refuse(f"{where}.kind", f"is {kind}, which is no kind of failure")
    return Failure(
        kind=FailureKind(kind),
        type=shown.type[: limits.FAILURE_TYPE_CHARS_MAX],
        message=shown.message[: limits.FAILURE_MESSAGE_CHARS_MAX],
        # Of a traceback or of stderr the end tells most.
        details=shown.details[-limits.FAILURE_DETAILS_CHARS_MAX :],
        retryable=shown.retryable if shown.HasField("retryable") else True,
    )


def _available(types: tuple[str, ...]) -> pb.TaskIncomingResponse:
    return pb.TaskIncomingResponse(available=pb.TaskIncomingResponse.Available(task_types=types))


def _told(news: News) -> list[pb.TaskIncomingResponse]:
    events = [
        pb.TaskIncomingResponse(
            cancel=pb.TaskIncomingResponse.Cancel(lease_tokens=tokens, reason=reason)
        )
        for reason, tokens in news.revoked.items()
    ]
    if news.drain:
        events.append(pb.TaskIncomingResponse(drain=pb.TaskIncomingResponse.Drain()))
    if news.available:
        events.append(_available(news.available))
    events += [
        pb.TaskIncomingResponse(log_wanted=pb.TaskIncomingResponse.LogWanted(**wanted._asdict()))
        for wanted in news.logs.values()
    ]
    return events
