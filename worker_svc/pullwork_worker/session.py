"""The link to the master: makes the calls that the machine instructs, and tells it the answers.

It decides nothing: when to call, what to repeat and what an answer means is the machine's.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import grpc.aio
from google.protobuf import duration_pb2

from pullwork.channel import open_channel
from pullwork.errors import InvalidFieldError, PullworkError, SessionLostError
from pullwork.status import from_rpc_error
from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1 import master_service_pb2_grpc, worker_pb2
from pullwork_worker.machine import Machine
from pullwork_worker.machine import instructions as do
from pullwork_worker.machine.instructions import Instruction
from pullwork_worker.usage import Usage
from pullwork_worker.wire import held_to, report_to, ticket_of

# How long the master may keep a request that it has nothing for.
PARK_S: Final = 20
_CALL_S: Final = 15.0
_DEREGISTER_S: Final = 3.0
_HEARTBEAT_S_MIN: Final = 2.0
# A master that stays away is told of this often, after the first time.
_SAY_AGAIN_S: Final = 30.0

log = logging.getLogger("pullwork.worker")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a worker says of itself when it registers."""

    name: str
    boot_id: str
    queues: tuple[str, ...]
    task_types: tuple[str, ...]
    slots: int
    look_ahead_max: int
    labels: dict[str, str]
    version: str


class Runner(Protocol):
    """Who drives the machine."""

    machine: Machine

    def now(self) -> float:
        """Returns the machine's time."""

    def carry_out(self, instructions: list[Instruction]) -> None:
        """Carries instructions out."""

    def crash(self, error: BaseException) -> None:
        """Ends the worker because of a bug."""


class Session:
    """All calls of one worker."""

    def __init__(
        self,
        address: str,
        identity: Identity,
        runner: Runner,
        on_payload_bytes_max: Callable[[int], None],
    ) -> None:
        self._address = address
        self._identity = identity
        self._runner = runner
        self._on_payload_bytes_max = on_payload_bytes_max
        self._channel = open_channel(address)
        self._stub = master_service_pb2_grpc.MasterServiceStub(self._channel)
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._away_since: float | None = None
        self._said_at = float("-inf")
        self._usage = Usage(runner.now())

    async def close(self) -> None:
        """Ends all calls and the channel."""
        for name in list(self._calls):
            self._cancel(name)
        await self._channel.close(None)

    # Instructions.

    def register(self, call: do.Register) -> None:
        """Calls Register."""
        self._begin("register", self._register(call))

    def open_stream(self, instruction: do.OpenStream) -> None:
        """Opens the notification stream."""
        self._begin("stream", self._listen(instruction.session_id))

    def close_stream(self) -> None:
        """Ends the notification stream."""
        self._cancel("stream")

    def heartbeat(self, call: do.Heartbeat) -> None:
        """Calls Heartbeat."""
        self._begin("heartbeat", self._heartbeat(call))

    def request(self, call: do.RequestWork) -> None:
        """Calls RequestTask."""
        self._begin("request", self._request(call))

    def report(self, call: do.Report) -> None:
        """Calls ReportResult."""
        self._begin("report", self._report(call))

    def deregister(self, call: do.Deregister) -> None:
        """Calls Deregister."""
        self._begin("deregister", self._deregister(call))

    def cancel_calls(self, *, only_request: bool) -> None:
        """Ends the calls that are on their way."""
        for name in (
            ("request",) if only_request else ("register", "heartbeat", "request", "report")
        ):
            self._cancel(name)

    def _begin(self, name: str, call: Coroutine[Any, Any, None]) -> None:
        self._cancel(name)
        task = asyncio.create_task(call, name=name)
        task.add_done_callback(self._over)
        self._calls[name] = task

    def _over(self, task: asyncio.Task[None]) -> None:
        # The machine would wait for this call's answer for ever: a worker that looks alive.
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._runner.crash(error)

    def _cancel(self, name: str) -> None:
        call = self._calls.pop(name, None)
        if call is not None and call is not asyncio.current_task():
            call.cancel()

    # Calls.

    async def _register(self, call: do.Register) -> None:
        machine, me = self._runner.machine, self._identity
        request = pb.RegisterRequest(
            worker_name=me.name,
            boot_id=me.boot_id,
            queues=me.queues,
            task_types=me.task_types,
            slots=me.slots,
            look_ahead_max=me.look_ahead_max,
            labels=me.labels,
            version=me.version,
            held=held_to(call.held),
        )
        try:
            answer = await self._stub.Register(request, timeout=_CALL_S)
        except grpc.aio.AioRpcError as rpc_error:
            error = from_rpc_error(rpc_error)
            if isinstance(error, InvalidFieldError):
                reason = f"the master refuses this worker: {error}"
                log.error(reason)
                self._runner.carry_out(machine.leave(reason, 2, self._runner.now()))
                return
            instructions = machine.register_failed(call, self._runner.now(), random.random())
            self._say_away(error)
            self._runner.carry_out(instructions)
            return
        self.welcomed(answer)
        kept = frozenset(
            verdict.lease_token
            for verdict in answer.held_verdicts
            if verdict.decision == pb.HELD_DECISION_KEEP
        )
        self._away_since = None
        self._said_at = float("-inf")
        log.info(
            "registered",
            extra={
                "master": self._address,
                "session": answer.session_id,
                "term": answer.term,
                "held": len(call.held),
                "kept": len(kept),
            },
        )
        self._runner.carry_out(
            machine.registered(
                call,
                session_id=answer.session_id,
                interval_s=_seconds(answer.heartbeat_interval),
                lease_s=_seconds(answer.lease_duration),
                kept=kept,
                now=self._runner.now(),
            )
        )

    def _say_away(self, error: PullworkError) -> None:
        now = self._runner.now()
        if now - self._said_at < _SAY_AGAIN_S:
            return
        self._said_at = now
        if self._away_since is None:
            self._away_since = now
        retry_at = self._runner.machine.link.retry_at or now
        log.warning(
            "no master yet; trying again until there is one: %s",
            error,
            extra={
                "master": self._address,
                "next_try_s": round(retry_at - now, 1),
                "away_s": round(now - self._away_since),
            },
        )

    async def _listen(self, session_id: str) -> None:
        machine, runner = self._runner.machine, self._runner
        reason = "the master ended the stream"
        try:
            async for event in self._stub.TaskIncoming(
                pb.TaskIncomingRequest(session_id=session_id)
            ):
                if self._away_since is not None:
                    log.info("the master is back", extra={"master": self._address})
                    self._away_since = None
                self._heard(event)
        except grpc.aio.AioRpcError as rpc_error:
            error = from_rpc_error(rpc_error)
            if isinstance(error, SessionLostError):
                self._lost(session_id, error)
                return
            reason = str(error)
        if machine.link.session_id == session_id and self._away_since is None:
            self._away_since = runner.now()
            log.warning(
                "lost the master; trying again: %s", reason, extra={"master": self._address}
            )
        runner.carry_out(machine.stream_broke(session_id, runner.now(), random.random()))

    def _heard(self, event: pb.TaskIncomingResponse) -> None:
        machine, now = self._runner.machine, self._runner.now()
        kind = event.WhichOneof("event")
        if kind == "available":
            instructions = machine.hint(now)
        elif kind == "cancel":
            tokens = list(event.cancel.lease_tokens)
            log.info("cancel", extra={"tickets": len(tokens), "why": event.cancel.reason})
            instructions = machine.cancelled(tokens, event.cancel.reason, now)
        elif kind == "drain":
            log.info("draining: the master asked for it")
            instructions = machine.drain("the master asked for it", now)
        else:
            if kind == "log_wanted":
                self.log_wanted(event.log_wanted)
            instructions = machine.stream_event(now)
        self._runner.carry_out(instructions)

    async def _heartbeat(self, call: do.Heartbeat) -> None:
        machine, runner = self._runner.machine, self._runner
        load = worker_pb2.Load(
            cpu=self._usage.cpu(runner.now()),
            memory=self._usage.memory(),
            slots_busy=call.slots_busy,
        )
        request = pb.HeartbeatRequest(
            session_id=call.session_id, held=held_to(call.held), load=load, draining=call.draining
        )
        timeout = min(max(_HEARTBEAT_S_MIN, machine.link.interval_s), _CALL_S)
        try:
            answer = await self._stub.Heartbeat(request, timeout=timeout)
        except grpc.aio.AioRpcError as rpc_error:
            error = from_rpc_error(rpc_error)
            if isinstance(error, SessionLostError):
                self._lost(call.session_id, error)
                return
            log.debug("heartbeat failed: %s", error)
            runner.carry_out(machine.heartbeat_failed(call, runner.now()))
            return
        runner.carry_out(
            machine.heartbeat_answered(
                call,
                list(answer.abandon),
                answer.drain,
                # A master of before says no lease, and one of before that no interval.
                _seconds(answer.heartbeat_interval) or machine.link.interval_s,
                _seconds(answer.lease_duration) or machine.link.lease_s,
                runner.now(),
            )
        )

    async def _request(self, call: do.RequestWork) -> None:
        machine, runner = self._runner.machine, self._runner
        request = pb.RequestTaskRequest(
            session_id=call.session_id,
            max_tasks=call.tickets_max,
            wait=duration_pb2.Duration(seconds=PARK_S),
            request_id=call.request_id,
        )
        try:
            answer = await self._stub.RequestTask(request, timeout=PARK_S + _CALL_S)
        except grpc.aio.AioRpcError as rpc_error:
            error = from_rpc_error(rpc_error)
            if isinstance(error, SessionLostError):
                self._lost(call.session_id, error)
                return
            log.debug("request failed: %s", error)
            runner.carry_out(machine.request_failed(call, runner.now(), random.random()))
            return
        runner.carry_out(
            machine.request_answered(call, map(ticket_of, answer.tickets), runner.now())
        )

    async def _report(self, call: do.Report) -> None:
        machine, runner = self._runner.machine, self._runner
        try:
            answer = await self._stub.ReportResult(report_to(call), timeout=_CALL_S)
        except grpc.aio.AioRpcError as rpc_error:
            error = from_rpc_error(rpc_error)
            if isinstance(error, SessionLostError):
                self._lost(call.session_id, error)
            elif isinstance(error, InvalidFieldError) or _too_large(rpc_error, error):
                log.error("the master refuses a report of %d: %s", len(call.outcomes), error)
                runner.carry_out(machine.report_refused(call, str(error), runner.now()))
            else:
                log.debug("report failed: %s", error)
                runner.carry_out(machine.report_failed(call, runner.now(), random.random()))
            return
        self.judged(call, answer.verdicts)
        runner.carry_out(
            machine.report_answered(call, map(ticket_of, answer.tickets), runner.now())
        )

    async def _deregister(self, call: do.Deregister) -> None:
        await self.parting(call.session_id)
        request = pb.DeregisterRequest(session_id=call.session_id, reason=call.reason)
        try:
            await self._stub.Deregister(request, timeout=_DEREGISTER_S)
        except grpc.aio.AioRpcError as rpc_error:
            log.warning("the master did not hear that this worker leaves: %s", rpc_error.details())
        self._runner.carry_out(self._runner.machine.deregistered(self._runner.now()))

    def _lost(self, session_id: str, error: SessionLostError) -> None:
        if self._runner.machine.link.session_id == session_id:
            log.warning("registering anew: %s", error)
            if error.metadata.get("cause") == "NAME_TAKEN":
                self.name_taken()
        self._runner.carry_out(self._runner.machine.session_lost(session_id, self._runner.now()))

    # What a session with more to hear than tasks hears here.

    def welcomed(self, answer: pb.RegisterResponse) -> None:
        """Takes note of what the master said when it registered this worker."""
        self._on_payload_bytes_max(answer.payload_bytes_max)

    def judged(self, call: do.Report, verdicts: Sequence[pb.Verdict.ValueType]) -> None:
        """Says which outcomes the master did not take."""
        for verdict, (token, _) in zip(verdicts, call.outcomes, strict=False):
            if verdict != pb.VERDICT_ACCEPTED:
                log.info(
                    "the master did not take an outcome",
                    extra={"verdict": pb.Verdict.Name(verdict), "lease": token},
                )

    async def parting(self, session_id: str) -> None:
        """Has nothing to say before it leaves."""

    def log_wanted(self, wanted: pb.TaskIncomingResponse.LogWanted) -> None:
        """Has no logs of instances."""

    def name_taken(self) -> None:
        """Takes another name, or this worker and its namesake would end each other for ever."""
        name, boot_id = self._identity.name, self._identity.boot_id
        mark = f"-{boot_id[:8]}"
        if not name.endswith(mark):
            self._identity = replace(self._identity, name=name + mark)
            log.error(
                "another worker is called %r too; give each its own --name",
                name,
                extra={"goes_on_as": self._identity.name},
            )


def _too_large(rpc_error: grpc.aio.AioRpcError, error: PullworkError) -> bool:
    """Tells gRPC's own refusal of a large message from a full master."""
    return not error.reason and rpc_error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def _seconds(duration: duration_pb2.Duration) -> float:
    return duration.ToNanoseconds() / 1e9
