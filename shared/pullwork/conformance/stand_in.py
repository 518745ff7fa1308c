"""A master for one worker that does as a scene says: it grants, loses, refuses, stays silent.

It answers by the contract wherever no scene told it otherwise, so that whatever the worker does
next is the worker's own doing.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf import message
from google.protobuf.duration_pb2 import Duration

from pullwork.conformance.issued import Call, Issued, Session
from pullwork.conformance.watch import Watch, now
from pullwork.errors import PullworkError, SessionLostError
from pullwork.status import to_status
from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1 import master_service_pb2_grpc
from pullwork.v1.worker_pb2 import Ticket

Context = grpc.aio.ServicerContext[Any, Any]
Answer = TypeVar("Answer")
Event = pb.TaskIncomingResponse


@dataclass
class Terms:
    """What the stand-in tells a worker to live by; short, so that scenes are."""

    heartbeat_s: float = 0.5
    lease_s: float = 3.0
    payload_bytes_max: int = 64 * 1024
    term: int = 7


class StandIn(master_service_pb2_grpc.MasterServiceServicer):
    """One scene's master. Attributes are levers: a scene sets them, the next call feels them."""

    def __init__(self, watch: Watch, issued: dict[str, Issued]) -> None:
        self.terms = Terms()
        self.calls: list[Call] = []
        self.issued = issued
        self.sessions: dict[str, Session] = {}
        # Nobody is answered, and streams end.
        self.away = False
        # The stream stays open and says nothing.
        self.silent = False
        # Method → how many answers get lost after the call was carried out.
        self.lose: Counter[str] = Counter()
        # Method → what every call is refused with.
        self.refuse: dict[str, PullworkError] = {}
        # Tokens that Register does not keep, with the rule that forbids to go on with them.
        self.not_kept: dict[str, str] = {}
        self.abandon: list[str] = []
        self.drain = False
        self._watch = watch
        self._waiting: deque[Issued] = deque()
        self._work = asyncio.Event()
        self._granted: dict[str, list[Issued]] = {}
        self._serial = itertools.count(1)
        self._why_over: dict[str, str] = {}

    # --- what a scene does

    @property
    def session(self) -> Session | None:
        """The session that stands."""
        standing = [it for it in self.sessions.values() if it.over_at is None]
        return standing[-1] if standing else None

    def put(self, ticket: Ticket) -> Issued:
        """Lays a ticket out for the next request."""
        ticket.lease_token = f"lease/{next(self._serial)}?of=conformance&kit=~1"
        ticket.attempt = 1
        ticket.queue = "default"
        issued = self.issued[ticket.lease_token] = Issued(ticket)
        self._waiting.append(issued)
        self._work.set()
        return issued

    def say(self, event: Event) -> None:
        """Sends an event on the open stream."""
        session = self.session
        if session is not None and session.open is not None:
            session.open.put_nowait(event)

    def break_stream(self) -> None:
        """Ends the open stream."""
        session = self.session
        if session is not None and session.open is not None:
            session.open.put_nowait(None)

    def end_session(self, cause: str = "") -> None:
        """Forgets the session; the worker hears of it by its next call and by its stream."""
        session = self.session
        if session is not None:
            session.over_at = now()
            self._why_over[session.id] = cause
            self._work.set()
            if session.open is not None:
                session.open.put_nowait(None)

    def calls_of(self, method: str, since: float = 0.0) -> list[Call]:
        """Returns the calls of a method that arrived since a time."""
        return [call for call in self.calls if call.method == method and call.at >= since]

    # --- what a worker calls

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        await self._begin("Register", request, context)
        self._watch.registers(request)
        for former in self.sessions.values():
            if former.over_at is None:
                former.over_at = now()
                if former.open is not None:
                    former.open.put_nowait(None)
        session = Session(
            f"session {len(self.sessions) + 1} of term {self.terms.term}", request, now()
        )
        self.sessions[session.id] = session
        verdicts = [self._take_over(session, line.lease_token) for line in request.held]
        answer = pb.RegisterResponse(
            session_id=session.id,
            term=self.terms.term,
            heartbeat_interval=_duration(self.terms.heartbeat_s),
            grace=_duration(1.0),
            silence_grace=_duration(1.0),
            lease_duration=_duration(self.terms.lease_s),
            held_verdicts=verdicts,
            payload_bytes_max=self.terms.payload_bytes_max,
        )
        return await self._lose_or(answer, "Register", context)

    def _take_over(self, session: Session, token: str) -> pb.HeldVerdict:
        it = self.issued.get(token)
        rule = self.not_kept.get(token, "session-lost" if it is None else it.let_go_rule)
        if it is None or rule or it.verdict_at is not None:
            if it is not None and it.let_go_at is None and it.verdict_at is None:
                it.let_go_rule, it.let_go_at = rule, now()
            return pb.HeldVerdict(lease_token=token, decision=pb.HELD_DECISION_ABANDON)
        it.session_id = session.id
        it.reporting = False
        return pb.HeldVerdict(lease_token=token, decision=pb.HELD_DECISION_KEEP)

    async def TaskIncoming(
        self, request: pb.TaskIncomingRequest, context: Context
    ) -> AsyncIterator[Event]:
        session = await self._enter("TaskIncoming", request.session_id, request, context)
        self._watch.opens_stream(now())
        if session.open is not None:
            session.open.put_nowait(None)
        mine: asyncio.Queue[Event | None] = asyncio.Queue()
        session.open = mine
        session.streams += 1
        try:
            yield Event(members=Event.Members())
            while True:
                try:
                    async with asyncio.timeout(self.terms.heartbeat_s):
                        event = await mine.get()
                except TimeoutError:
                    event = Event(tick=Event.Tick(term=self.terms.term))
                    if self.silent:
                        continue
                if event is None:
                    break
                yield event
        finally:
            if session.open is mine:
                session.open = None
        if session.over_at is not None:
            await self._refuse_lost(session.id, context)
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the stand-in is away")

    async def RequestTask(
        self, request: pb.RequestTaskRequest, context: Context
    ) -> pb.RequestTaskResponse:
        session = await self._enter("RequestTask", request.session_id, request, context)
        self._watch.asks(session, request.max_tasks, request.request_id, ())
        wait_s = request.wait.ToMilliseconds() / 1000 if request.HasField("wait") else 0.0
        name = request.request_id or f"unnamed {next(self._serial)}"
        session.parked[name] = request.max_tasks
        try:
            tickets = await self._grant(session, name, request.max_tasks, wait_s)
        finally:
            session.parked.pop(name, None)
        if session.over_at is not None:
            await self._refuse_lost(session.id, context)
        if not tickets:
            self._watch.answered_empty(now())
        answer = pb.RequestTaskResponse(tickets=[it.ticket for it in tickets])
        await self._lose_or(answer, "RequestTask", context)
        _arrive(tickets)
        return answer

    async def ReportResult(
        self, request: pb.ReportResultRequest, context: Context
    ) -> pb.ReportResultResponse:
        session = await self._enter("ReportResult", request.session_id, request, context)
        settled = [outcome.lease_token for outcome in request.outcomes]
        if request.request_tasks:
            self._watch.asks(session, request.request_tasks, request.request_id, settled)
        verdicts = [self._verdict(session, outcome) for outcome in request.outcomes]
        name = request.request_id or f"unnamed {next(self._serial)}"
        tickets = await self._grant(session, name, request.request_tasks, 0.0)
        answer = pb.ReportResultResponse(verdicts=verdicts, tickets=[it.ticket for it in tickets])
        await self._lose_or(answer, "ReportResult", context)
        for token in settled:
            if (it := self.issued.get(token)) is not None and it.verdict_at is None:
                it.verdict_at = now()
        _arrive(tickets)
        return answer

    def _verdict(self, session: Session, outcome: pb.Outcome) -> pb.Verdict.ValueType:
        self._watch.reports(outcome)
        it = self.issued.get(outcome.lease_token)
        if it is None:
            return pb.VERDICT_UNKNOWN_TASK
        it.reporting = True
        it.outcomes.append(outcome)
        if it.let_go_at is not None or it.session_id != session.id:
            return pb.VERDICT_STALE_LEASE
        return pb.VERDICT_ACCEPTED if it.outcomes[0] == outcome else pb.VERDICT_CONFLICT

    async def Heartbeat(
        self, request: pb.HeartbeatRequest, context: Context
    ) -> pb.HeartbeatResponse:
        session = await self._enter("Heartbeat", request.session_id, request, context)
        self._watch.beats(session, request, now())
        answer = pb.HeartbeatResponse(
            abandon=[token for token in self.abandon if self.issued[token].verdict_at is None],
            drain=self.drain,
            heartbeat_interval=_duration(self.terms.heartbeat_s),
            lease_duration=_duration(self.terms.lease_s),
        )
        return await self._lose_or(answer, "Heartbeat", context)

    async def Deregister(
        self, request: pb.DeregisterRequest, context: Context
    ) -> pb.DeregisterResponse:
        await self._begin("Deregister", request, context)
        session = self.sessions.get(request.session_id)
        if session is not None:
            session.over_at = now()
        return await self._lose_or(pb.DeregisterResponse(), "Deregister", context)

    # --- how calls are met

    async def _begin(self, method: str, request: message.Message, context: Context) -> None:
        """Takes note of a call, and refuses it if the scene says so."""
        self.calls.append(Call(now(), method, request))
        if self.away:
            self._watch.refused(method, now())
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the stand-in is away")
        if method in self.refuse:
            self._watch.refused(method, now())
            await context.abort_with_status(to_status(self.refuse[method]))

    async def _enter(
        self, method: str, session_id: str, request: message.Message, context: Context
    ) -> Session:
        """Does the same for a call that needs a session, and returns that."""
        await self._begin(method, request, context)
        session = self.sessions.get(session_id)
        if session is None or session.over_at is not None:
            if session is not None:
                later = [it for it in self.sessions.values() if it.began_at > session.began_at]
                if later:
                    self._watch.uses_old_session(method, now() - later[0].began_at)
            await self._refuse_lost(session_id, context)
        assert session is not None
        return session

    async def _refuse_lost(self, session_id: str, context: Context) -> None:
        cause = self._why_over.get(session_id, "")
        error = SessionLostError(
            f"session {session_id!r} is over; register anew with the tickets still held",
            metadata={"session_id": session_id, "cause": cause},
        )
        await context.abort_with_status(to_status(error))

    async def _lose_or(self, answer: Answer, method: str, context: Context) -> Answer:
        """Returns an answer, or loses it: the connection looks broken to the worker."""
        if self.lose[method] > 0:
            self.lose[method] -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer got lost")
        return answer

    async def _grant(
        self, session: Session, name: str, tickets_max: int, wait_s: float
    ) -> list[Issued]:
        """Gives what waits, or what was given under the same name before."""
        if name in self._granted:
            return self._granted[name]
        try:
            async with asyncio.timeout(wait_s if wait_s > 0 else None):
                while wait_s > 0 and not self._waiting and session.over_at is None:
                    self._work.clear()
                    await self._work.wait()
        except TimeoutError:
            pass
        granted: list[Issued] = []
        while self._waiting and len(granted) < tickets_max and session.over_at is None:
            it = self._waiting.popleft()
            it.session_id = session.id
            granted.append(it)
        if granted:
            self._granted[name] = granted
        return granted


def _arrive(tickets: list[Issued]) -> None:
    for it in tickets:
        it.given_at = it.given_at or now()


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(round(seconds * 1000))
    return duration
