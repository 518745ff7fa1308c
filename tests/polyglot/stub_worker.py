"""A small worker from Python's stubs, in steps that can be broken each; it keeps every rule."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import uuid
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration

from pullwork.channel import open_channel
from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1 import master_service_pb2_grpc
from pullwork.v1.task_pb2 import (
    FAILURE_KIND_APPLICATION,
    FAILURE_KIND_REJECTED,
    FAILURE_KIND_TIMEOUT,
    Failure,
    FailureKind,
    Payload,
)
from pullwork.v1.worker_pb2 import HeldLease, Ticket

Answer = TypeVar("Answer")
FIRST_WAIT_S: Final = 0.2
CALL_S: Final = 35.0


class StubWorker:
    """Pulls work until it is drained; `held` has each ticket from its arrival until its verdict."""

    slots = 2
    park_s = 20.0

    def __init__(self) -> None:
        self.master = master_service_pb2_grpc.MasterServiceStub(
            open_channel(os.environ["PULLWORK_ADDRESS"])
        )
        self.boot_id = uuid.uuid4().hex
        # Two workers of one name would end each other's sessions for ever.
        self.name = f"stub-{self.boot_id[:8]}"
        self.terms: pb.RegisterResponse | None = None
        self.interval_s = self.lease_s = 1.0
        self.held: dict[str, asyncio.Task[pb.Outcome]] = {}
        self.free = self.slots
        self.changed = asyncio.Event()
        self.draining = asyncio.Event()
        self.serving: set[asyncio.Task[None]] = set()
        self.entry = asyncio.Lock()
        self.contact: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Serves until it is drained; then finishes, and leaves."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.sigterm)
        async with asyncio.TaskGroup() as tasks:
            living = [tasks.create_task(each()) for each in (self.listen, self.beat)]
            await self.pull()
            while self.serving:
                await asyncio.wait(self.serving)
            await self.leave()
            for each in living:
                each.cancel()

    async def leave(self) -> None:
        """Ends the session."""
        if self.terms is not None:
            await self.master.Deregister(pb.DeregisterRequest(session_id=self.terms.session_id))

    def sigterm(self) -> None:
        """Does what an orchestrator's signal asks for."""
        self.draining.set()

    # --- the session

    async def session(self) -> pb.RegisterResponse:
        """Returns the one that stands, or begins one with all that is held."""
        async with self.entry:
            wait_s = FIRST_WAIT_S
            while self.terms is None:
                request = pb.RegisterRequest(
                    worker_name=self.name,
                    boot_id=self.boot_id,
                    task_types=["conformance.work"],
                    slots=self.slots,
                    held=self.introduced(),
                )
                try:
                    terms = await self.master.Register(request, timeout=CALL_S)
                except grpc.aio.AioRpcError:
                    wait_s = await self.pause(wait_s)
                    continue
                self.registered(terms)
            return self.terms

    def registered(self, terms: pb.RegisterResponse) -> None:
        """Goes on under a new session."""
        self.terms = terms
        self.interval_s = terms.heartbeat_interval.ToMilliseconds() / 1000
        self.lease_s = terms.lease_duration.ToMilliseconds() / 1000
        self.not_kept(
            it.lease_token for it in terms.held_verdicts if it.decision == pb.HELD_DECISION_ABANDON
        )

    def failed(self, terms: pb.RegisterResponse, error: grpc.aio.AioRpcError) -> None:
        """Forgets a session that is no more."""
        if error.code() is grpc.StatusCode.FAILED_PRECONDITION and self.terms is terms:
            self.terms = None

    def heard(self) -> None:
        """Notes contact; a lease's length without any, and others get what runs here."""
        if self.contact is not None:
            self.contact.cancel()
        loop = asyncio.get_running_loop()
        self.contact = loop.call_later(self.lease_s, self.out_of_contact)

    async def call(self, method: Callable[[str], Awaitable[Answer]]) -> Answer:
        """Asks until it is answered."""
        wait_s = FIRST_WAIT_S
        while True:
            terms = await self.session()
            try:
                answer = await method(terms.session_id)
            except grpc.aio.AioRpcError as error:
                self.failed(terms, error)
                wait_s = await self.pause(wait_s)
            else:
                self.heard()
                return answer

    async def pause(self, wait_s: float) -> float:
        """Waits, and returns how long to wait the next time."""
        await self.wait(wait_s)
        return min(2 * wait_s, 5.0)

    async def wait(self, seconds: float) -> None:
        """Lets time pass."""
        await asyncio.sleep(seconds)

    # --- the stream and the heartbeats

    async def listen(self) -> None:
        """Keeps the stream open."""
        wait_s = FIRST_WAIT_S
        while True:
            terms = await self.session()
            stream = self.master.TaskIncoming(pb.TaskIncomingRequest(session_id=terms.session_id))
            try:
                while (event := await self.next_event(stream)) is not grpc.aio.EOF:
                    wait_s = FIRST_WAIT_S
                    self.heard()
                    self.hear(event)
            except TimeoutError:
                stream.cancel()
            except grpc.aio.AioRpcError as error:
                self.failed(terms, error)
            wait_s = await self.pause(wait_s)

    async def next_event(
        self, stream: grpc.aio.UnaryStreamCall[pb.TaskIncomingRequest, pb.TaskIncomingResponse]
    ) -> pb.TaskIncomingResponse:
        """Waits for an event, for as long as a master may be silent."""
        async with asyncio.timeout(3 * self.interval_s):
            return await stream.read()

    def hear(self, event: pb.TaskIncomingResponse) -> None:
        """Does what an event says."""
        kind = event.WhichOneof("event")
        if kind == "cancel":
            self.cancelled(event.cancel.lease_tokens)
        elif kind == "drain":
            self.drain_event()

    async def beat(self) -> None:
        """Sends heartbeats."""
        while True:
            terms = await self.session()
            await self.wait(self.interval_s)
            try:
                answer = await self.master.Heartbeat(self.heartbeat(terms), timeout=5.0)
            except grpc.aio.AioRpcError as error:
                self.failed(terms, error)
                continue
            self.obey(answer)
            self.heard()

    def heartbeat(self, terms: pb.RegisterResponse) -> pb.HeartbeatRequest:
        """Returns what a heartbeat says."""
        return pb.HeartbeatRequest(
            session_id=terms.session_id, held=self.inventory(), draining=self.draining.is_set()
        )

    def obey(self, answer: pb.HeartbeatResponse) -> None:
        """Does what a heartbeat's answer says."""
        self.taken_back(answer.abandon)
        self.interval_s = answer.heartbeat_interval.ToMilliseconds() / 1000
        self.lease_s = answer.lease_duration.ToMilliseconds() / 1000
        if answer.drain:
            self.drain_heartbeat()

    def drain_event(self) -> None:
        """Drains, as the stream said."""
        self.draining.set()

    def drain_heartbeat(self) -> None:
        """Drains, as a heartbeat's answer said."""
        self.draining.set()

    # --- tickets

    def inventory(self) -> list[HeldLease]:
        """Returns a line for each ticket."""
        return [HeldLease(lease_token=token, started=True) for token in self.held]

    def introduced(self) -> list[HeldLease]:
        """Returns what Register is told to be held."""
        return self.inventory()

    def abandon(self, tokens: Iterable[str]) -> None:
        """Stops attempts that are worth nothing any more."""
        for token in list(tokens):
            if token in self.held:
                self.held.pop(token).cancel()

    def cancelled(self, tokens: Iterable[str]) -> None:
        """Lets go of what an event named."""
        self.abandon(tokens)

    def taken_back(self, tokens: Iterable[str]) -> None:
        """Lets go of what a heartbeat's answer named."""
        self.abandon(tokens)

    def not_kept(self, tokens: Iterable[str]) -> None:
        """Lets go of what Register's answer named."""
        self.abandon(tokens)

    def out_of_contact(self) -> None:
        """Lets go of everything."""
        self.abandon(self.held)

    async def pull(self) -> None:
        """Asks for as many tickets as slots are free."""
        while not self.draining.is_set():
            if self.free == 0:
                self.changed.clear()
                await self.changed.wait()
                continue
            asked, self.free = self.free, 0
            tickets = await self.request(asked)
            self.free += asked - len(tickets)
            for ticket in tickets:
                serving = asyncio.create_task(self.serve(ticket))
                self.serving.add(serving)
                serving.add_done_callback(self.serving.discard)

    async def request(self, tickets_max: int) -> list[Ticket]:
        """Asks for tickets, again under the same id if the answer got lost."""
        ask = pb.RequestTaskRequest(
            max_tasks=self.credit(tickets_max),
            wait=Duration(seconds=int(self.park_s)),
            request_id=self.request_id(),
        )

        async def method(session_id: str) -> pb.RequestTaskResponse:
            ask.session_id = session_id
            self.asked(ask)
            return await self.master.RequestTask(ask, timeout=CALL_S)

        asking = asyncio.ensure_future(self.call(method))
        drained = asyncio.ensure_future(self.draining.wait())
        await asyncio.wait({asking, drained}, return_when=asyncio.FIRST_COMPLETED)
        drained.cancel()
        if not asking.done():
            asking.cancel()
            return []
        return list(asking.result().tickets)

    def credit(self, free: int) -> int:
        """Returns how many tickets to ask for."""
        return free

    def request_id(self) -> str:
        """Names a request."""
        return uuid.uuid4().hex

    def asked(self, ask: pb.RequestTaskRequest) -> None:
        """Looks at a request before it is sent."""

    async def serve(self, ticket: Ticket) -> None:
        """Runs a ticket, and reports its outcome until there is a verdict."""
        running = self.held[ticket.lease_token] = asyncio.create_task(self.attempt(ticket))
        await asyncio.wait({running})
        if not running.cancelled():
            await self.report(ticket.lease_token, running.result())
        self.free += 1
        self.changed.set()

    async def report(self, token: str, outcome: pb.Outcome) -> None:
        """Tells an outcome, unless it is worth nothing any more."""

        async def method(session_id: str) -> pb.ReportResultResponse:
            if token not in self.held:
                return pb.ReportResultResponse()
            told = pb.ReportResultRequest(session_id=session_id, outcomes=[self.told(outcome)])
            return await self.master.ReportResult(told, timeout=CALL_S)

        await self.call(method)
        self.held.pop(token, None)

    def told(self, outcome: pb.Outcome) -> pb.Outcome:
        """Looks at an outcome before it is sent."""
        return outcome

    async def attempt(self, ticket: Ticket) -> pb.Outcome:
        """Runs a ticket; whatever happens, it ends in an outcome."""
        if ticket.type != "conformance.work":
            return self.unknown_type(ticket)
        bound_s = ticket.execution_timeout.ToMilliseconds() / 1000 or None
        try:
            given = json.loads(ticket.payload)
            async with asyncio.timeout(bound_s):
                await self.work(given["seconds"])
        except ValueError as error:
            return self.bad_payload(ticket, error)
        except TimeoutError:
            return self.timed_out(ticket)
        data = json.dumps("x" * given["size"]).encode()
        if len(data) > self.bytes_max():
            return self.failure(ticket, FAILURE_KIND_APPLICATION, f"{len(data)} bytes are too many")
        return self.success(ticket, data)

    async def work(self, seconds: float) -> None:
        """Does what the kit asks for."""
        await self.wait(seconds)

    def bytes_max(self) -> int:
        """Returns how large a result may be."""
        return self.terms.payload_bytes_max if self.terms else 0

    def unknown_type(self, ticket: Ticket) -> pb.Outcome:
        """Tells that there is no such function."""
        return self.failure(ticket, FAILURE_KIND_APPLICATION, f"no function for {ticket.type!r}")

    def bad_payload(self, ticket: Ticket, error: ValueError) -> pb.Outcome:
        """Tells what is wrong with a payload."""
        return self.failure(ticket, FAILURE_KIND_REJECTED, str(error))

    def timed_out(self, ticket: Ticket) -> pb.Outcome:
        """Tells that the time was over."""
        return self.failure(ticket, FAILURE_KIND_TIMEOUT, "out of time")

    def success(self, ticket: Ticket, data: bytes) -> pb.Outcome:
        """Makes the outcome of what worked."""
        payload = Payload(data=data, content_type="application/json")
        return pb.Outcome(lease_token=ticket.lease_token, success=payload)

    def failure(self, ticket: Ticket, kind: FailureKind.ValueType, message: str) -> pb.Outcome:
        """Makes the outcome of what did not."""
        failure = Failure(kind=kind, type="StubError", message=message)
        return pb.Outcome(lease_token=ticket.lease_token, failure=failure)
