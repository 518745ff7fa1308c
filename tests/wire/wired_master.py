"""A master in this process behind a real port, with a clock that the test moves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc
import grpc.aio

from pullwork.channel import open_channel
from pullwork.errors import PullworkError
from pullwork.status import from_rpc_error
from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1 import (
    master_service_pb2_grpc,
    node_service_pb2_grpc,
    orchestrator_service_pb2_grpc,
    queue_service_pb2_grpc,
    registry_service_pb2_grpc,
    task_pb2,
    task_service_pb2,
    task_service_pb2_grpc,
    worker_pb2,
)
from pullwork_master.core.commands import Deregister
from pullwork_master.core.limits import Policy
from pullwork_master.core.model import Now
from pullwork_master.engine import Engine
from pullwork_master.orchestrator.orchestrator import Orchestrator
from pullwork_master.storage.base import Storage
from pullwork_master.views import Views
from pullwork_master.wire import server as wire_server
from pullwork_master.wire.registry_service import Registry
from pullwork_master.wire.streams import Streams
from pullwork_master.wire.watchers import Watcher, Watchers

T = TypeVar("T")

PATIENCE_S = 15.0
MASTER = worker_pb2.Member(
    id="the-master",
    name="master",
    role=worker_pb2.MEMBER_ROLE_MASTER,
    address="127.0.0.1:7733",
    version="1.2.3",
)


class HandClock:
    """Both clocks, standing still until they are moved."""

    def __init__(self) -> None:
        self.mono_ms = 1_000_000
        self.wall_ms = 1_800_000_000_000

    def __call__(self) -> Now:
        return Now(self.mono_ms, self.wall_ms)


class WiredMaster:
    """Storage, engine, views and server put together as `main` does it, and stubs that call it."""

    def __init__(self, storage: Storage, policy: Policy) -> None:
        self.clock = HandClock()
        self.storage = storage
        self.policy = policy
        # Some tests hold a commit up, and look at what goes on meanwhile.
        self.engine = Engine(storage, policy, clock=self.clock, quick_commit_ms=-1)
        self.address = ""
        self._writer: asyncio.Task[None]

    async def start(self) -> None:
        """Opens the store, takes a free port and serves."""
        await self.engine.start()
        self.disk = Views(self.storage.reader())
        self.orchestrator = Orchestrator(self.engine, self.policy)
        self.orchestrator.open(self.storage)
        self.server = wire_server.Server(self.engine, self.policy, self.disk, self.orchestrator)
        self.address = f"127.0.0.1:{self.server.bind('127.0.0.1:0')}"
        self._writer = asyncio.create_task(self.engine.run(), name="engine")
        await self.server.start(MASTER)
        self.channel = open_channel(self.address)
        self.master = master_service_pb2_grpc.MasterServiceStub(self.channel)
        self.tasks = task_service_pb2_grpc.TaskServiceStub(self.channel)
        self.queues = queue_service_pb2_grpc.QueueServiceStub(self.channel)
        self.registry = registry_service_pb2_grpc.RegistryServiceStub(self.channel)
        self.services = orchestrator_service_pb2_grpc.OrchestratorServiceStub(self.channel)
        self.nodes = node_service_pb2_grpc.NodeServiceStub(self.channel)
        self.stubs: tuple[Any, ...] = (
            self.master,
            self.tasks,
            self.queues,
            self.registry,
            self.services,
            self.nodes,
        )

    async def stop(self, grace_s: float = 0) -> None:
        """Stops in the order of `main`; a writer that died says so here."""
        self.engine.stop()
        await self._writer
        await self.server.stop(grace_s)

    async def close(self) -> None:
        """Stops, if that was not done, and releases all."""
        await self.channel.close()
        try:
            await self.stop()
        finally:
            await self.server.stop(0)
            self.disk.close()
            await self.engine.close()

    async def advance(self, ms: int) -> None:
        """Lets time pass, in steps short enough not to look like a pause of the master."""
        left = ms
        while left > 0:
            step = min(left, self.policy.pause_ms // 2)
            self.clock.mono_ms += step
            self.clock.wall_ms += step
            left -= step
            await self.engine.ask(Deregister("nobody"))

    # --- what clients do -----------------------------------------------------------------

    async def submit(self, *specs: task_pb2.TaskSpec, **common: Any) -> list[str]:
        """Submits tasks, or one of the given fields; returns their ids."""
        tasks = specs or [task_pb2.TaskSpec(**{"type": "t", **common})]
        answer = await self.tasks.SubmitTasks(task_service_pb2.SubmitTasksRequest(tasks=tasks))
        return [receipt.task_id for receipt in answer.receipts]

    async def submit_many(self, count: int, **common: Any) -> list[str]:
        """Submits that many tasks of the given fields."""
        spec = task_pb2.TaskSpec(**{"type": "t", **common})
        return [
            task_id
            for start in range(0, count, 1_000)
            for task_id in await self.submit(*[spec] * min(1_000, count - start))
        ]

    async def get(self, task_id: str) -> task_pb2.Task:
        """Returns a task, whole."""
        answer = await self.tasks.GetTask(task_service_pb2.GetTaskRequest(task_id=task_id))
        return answer.task

    def watch(self, **request: Any) -> grpc.aio.UnaryStreamCall[Any, Any]:
        """Opens a WatchTasks stream."""
        return self.tasks.WatchTasks(task_service_pb2.WatchTasksRequest(**request))

    async def standing_watch(
        self, **request: Any
    ) -> tuple[Any, task_service_pb2.WatchTasksResponse]:
        """Opens a WatchTasks stream and waits for its first message."""
        stream = self.watch(**request)
        return stream, await read(stream)

    async def worker(self, name: str = "w", **request: Any) -> WireWorker:
        """Registers a worker of type `t` with four slots."""
        shape: dict[str, Any] = {"boot_id": f"boot-{name}", "task_types": ["t"], "slots": 4}
        answer = await self.master.Register(
            pb.RegisterRequest(worker_name=name, **(shape | request))
        )
        return WireWorker(self, answer)

    async def run_all(self, worker: WireWorker, count: int) -> None:
        """Has a worker succeed in that many tasks."""
        done = 0
        while done < count:
            tickets = await worker.request(max_tasks=min(1_000, count - done))
            assert tickets, f"only {done} of {count} tasks could be had"
            await worker.report(*[succeeded(ticket) for ticket in tickets])
            done += len(tickets)

    # --- what is left behind ---------------------------------------------------------------

    def watchers(self) -> list[Watcher]:
        """Returns who watches tasks."""
        books = self._told(Watchers)
        indexes = (books._by_id, books._by_owner, books._by_queue)
        return list({each for index in indexes for members in index.values() for each in members})

    def mailboxes(self) -> int:
        """Counts the mailboxes of TaskIncoming streams."""
        return len(self._told(Streams))

    def registry_readers(self) -> set[Any]:
        """Returns who watches the registry."""
        readers: set[Any] = self._told(Registry)._readers
        return readers

    def _told(self, kind: type[T]) -> T:
        """Returns the one object of a kind that hears each step of the engine."""
        (found,) = [
            owner
            for listener in self.engine._listeners
            if isinstance(owner := getattr(listener, "__self__", None), kind)
        ]
        return found

    def parked(self) -> int:
        """Counts the parked requests in the core."""
        return sum(each.parked is not None for each in self.engine.core.book.sessions.values())

    def listening(self) -> int:
        """Counts the streams that the core believes to be open."""
        return sum(each.stream != 0 for each in self.engine.core.book.sessions.values())


class WireWorker:
    """A worker's side of the contract, by hand."""

    def __init__(self, master: WiredMaster, registered: pb.RegisterResponse) -> None:
        self.master = master
        self.registered = registered
        self.session_id = registered.session_id

    def listen(self) -> grpc.aio.UnaryStreamCall[Any, pb.TaskIncomingResponse]:
        """Opens the stream of news."""
        request = pb.TaskIncomingRequest(session_id=self.session_id)
        return self.master.master.TaskIncoming(request)

    async def listening(self) -> Any:
        """Opens the stream of news and reads its first event, the members."""
        stream = self.listen()
        first = await read(stream)
        assert first.WhichOneof("event") == "members"
        return stream

    async def request(self, max_tasks: int = 4, **more: Any) -> list[worker_pb2.Ticket]:
        """Asks for tickets."""
        request = pb.RequestTaskRequest(session_id=self.session_id, max_tasks=max_tasks, **more)
        return list((await self.master.master.RequestTask(request)).tickets)

    async def report(self, *outcomes: pb.Outcome, **more: Any) -> pb.ReportResultResponse:
        """Reports outcomes."""
        request = pb.ReportResultRequest(session_id=self.session_id, outcomes=outcomes, **more)
        return await self.master.master.ReportResult(request)

    async def heartbeat(self, *held: worker_pb2.HeldLease, **more: Any) -> pb.HeartbeatResponse:
        """Says what it holds."""
        request = pb.HeartbeatRequest(session_id=self.session_id, held=held, **more)
        return await self.master.master.Heartbeat(request)

    async def leave(self, reason: str = "") -> int:
        """Deregisters."""
        request = pb.DeregisterRequest(session_id=self.session_id, reason=reason)
        return (await self.master.master.Deregister(request)).requeued


def succeeded(ticket: worker_pb2.Ticket, data: bytes = b"42") -> pb.Outcome:
    """Makes the outcome of an attempt that worked."""
    payload = task_pb2.Payload(data=data, content_type="application/json")
    return pb.Outcome(lease_token=ticket.lease_token, success=payload)


def failed(ticket: worker_pb2.Ticket, **failure: Any) -> pb.Outcome:
    """Makes the outcome of an attempt that did not."""
    shown = task_pb2.Failure(**{"type": "E", "message": "it broke", **failure})
    return pb.Outcome(lease_token=ticket.lease_token, failure=shown)


def held(ticket: worker_pb2.Ticket, **more: Any) -> worker_pb2.HeldLease:
    """Makes a line of an inventory."""
    return worker_pb2.HeldLease(lease_token=ticket.lease_token, started=True, **more)


async def read(stream: Any) -> Any:
    """Reads the next message of a stream, which must come."""
    message = await asyncio.wait_for(stream.read(), PATIENCE_S)
    assert message is not grpc.aio.EOF, "the stream ended"
    return message


async def ended(stream: Any) -> None:
    """Returns when a stream ends, as it must, and in order."""
    assert await asyncio.wait_for(stream.read(), PATIENCE_S) is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK


async def read_ids(stream: Any, count: int) -> list[str]:
    """Reads messages until that many tasks were told; returns their ids in order."""
    told: list[str] = []
    while len(told) < count:
        told += ids_of((await read(stream)).tasks)
    return told


def ids_of(tasks: Iterable[task_pb2.Task]) -> list[str]:
    """Returns the ids of tasks."""
    return [task.spec.task_id for task in tasks]


async def refusal(call: Any) -> PullworkError:
    """Awaits a call that must be refused; returns the refusal as clients see it."""
    try:
        answer = await asyncio.wait_for(call, PATIENCE_S)
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error)
    raise AssertionError(f"was not refused, but answered: {answer}")


async def until(true: Callable[[], object], what: str) -> None:
    """Looks again and again until a condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"{PATIENCE_S:g} s passed, and still not: {what}"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def serving(storage: Storage, **policy: Any) -> AsyncIterator[WiredMaster]:
    """Runs a master for the length of a block."""
    master = WiredMaster(storage, Policy(**policy))
    await master.start()
    try:
        yield master
    finally:
        await master.close()
