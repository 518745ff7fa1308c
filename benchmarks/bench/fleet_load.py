"""Many workers in one process, each on a connection of its own, speaking the real protocol.

They are made of bare stubs, so that the load costs less than what it measures. It reads commands,
a line of JSON each, and answers each with a line of JSON; see `bench.fleet`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import grpc.aio
from google.protobuf import duration_pb2

from pullwork.channel import client_options
from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1 import master_service_pb2_grpc, task_pb2, worker_pb2

# As our worker asks.
PARK: Final = duration_pb2.Duration(seconds=20)
# How many register at once.
JOINING: Final = 32
Answer = dict[str, Any]


@dataclass
class Heard:
    """What all workers of this process heard."""

    hints: int = 0
    ticks: int = 0
    beats: int = 0
    # Answers to requests that brought nothing.
    empty: int = 0
    # Task → when its ticket was in a worker's hand, by the clock that all processes share.
    arrived_ns: dict[str, int] = field(default_factory=dict)


class Worker:
    """One worker: registers, listens, sends heartbeats, and asks for work."""

    def __init__(self, address: str, name: str, types: list[str], heard: Heard) -> None:
        options = [*client_options(), ("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.aio.insecure_channel(address, options=options)
        self._stub = master_service_pb2_grpc.MasterServiceStub(self._channel)
        self._name, self._types, self.heard = name, types, heard
        self._session = ""
        self.interval_s = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._hinted = asyncio.Event()

    async def join(self, *, listens: bool, beats: bool, parks: bool) -> None:
        """Registers and begins to do what a worker of this kind does."""
        told = await self._stub.Register(
            pb.RegisterRequest(
                worker_name=self._name, boot_id=self._name, task_types=self._types, slots=1
            ),
            wait_for_ready=True,
        )
        self._session = told.session_id
        self.interval_s = told.heartbeat_interval.ToNanoseconds() / 1e9
        if listens:
            stream = self._stub.TaskIncoming(pb.TaskIncomingRequest(session_id=self._session))
            await stream.read()
            self._begin(self._listen(stream))
        if beats:
            self._begin(self._beat())
        self._begin(self._ask(parks))

    def _begin(self, doing: Any) -> None:
        self._tasks.append(asyncio.create_task(doing))

    async def _listen(self, stream: Any) -> None:
        while (event := await stream.read()) is not grpc.aio.EOF:
            if event.WhichOneof("event") == "tick":
                self.heard.ticks += 1
            else:
                self.heard.hints += 1
                self._hinted.set()

    async def _beat(self) -> None:
        load = worker_pb2.Load(cpu=0.1, memory=0.1)
        while True:
            await asyncio.sleep(self.interval_s)
            beat = pb.HeartbeatRequest(session_id=self._session, load=load)
            answer = await self._stub.Heartbeat(beat)
            self.heard.beats += 1
            self.interval_s = answer.heartbeat_interval.ToNanoseconds() / 1e9

    async def _ask(self, parks: bool) -> None:
        request = pb.RequestTaskRequest(session_id=self._session, max_tasks=1)
        if parks:
            request.wait.CopyFrom(PARK)
        while True:
            if not parks:
                await self._hinted.wait()
                self._hinted.clear()
            answer = await self._stub.RequestTask(request)
            now_ns = time.monotonic_ns()
            if not answer.tickets:
                self.heard.empty += 1
            for ticket in answer.tickets:
                self.heard.arrived_ns[ticket.task_id] = now_ns
                await self._report(ticket.lease_token)

    async def _report(self, token: str) -> None:
        outcome = pb.Outcome(lease_token=token, success=task_pb2.Payload(data=b"done"))
        await self._stub.ReportResult(
            pb.ReportResultRequest(session_id=self._session, outcomes=[outcome])
        )

    async def leave(self) -> None:
        """Ends its connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(grpc.aio.AioRpcError):
            await self._stub.Deregister(pb.DeregisterRequest(session_id=self._session))
        await self._channel.close()

    def failures(self) -> Iterable[str]:
        """Returns what went wrong."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                yield f"{self._name}: {task.exception()!r}"


class Load:
    """Does what commands say."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._workers: list[Worker] = []
        self._heard = Heard()

    async def join(
        self,
        names: list[str],
        own: dict[str, list[str]],
        listens: bool = True,
        beats: bool = True,
        parks: bool = True,
    ) -> Answer:
        """Lets workers join; `own`: what some of them can do beside what all can."""
        turn = asyncio.Semaphore(JOINING)

        async def one(worker: Worker) -> None:
            async with turn:
                await worker.join(listens=listens, beats=beats, parks=parks)

        fresh = [
            Worker(self._address, name, ["fleet.any", *own.get(name, [])], self._heard)
            for name in names
        ]
        self._workers += fresh
        random.shuffle(fresh)
        await asyncio.gather(*(one(worker) for worker in fresh))
        return {}

    async def heard(self) -> Answer:
        """Tells what was heard since it was asked last, and forgets it."""
        failures = [each for worker in self._workers for each in worker.failures()]
        heard, self._heard = self._heard, Heard()
        for worker in self._workers:
            worker.heard = self._heard
        return {
            "hints": heard.hints,
            "ticks": heard.ticks,
            "beats": heard.beats,
            "empty": heard.empty,
            "arrived_ns": heard.arrived_ns,
            "interval_s": max((worker.interval_s for worker in self._workers), default=0.0),
            "failures": failures[:3],
        }

    async def leave(self) -> Answer:
        """Lets all leave."""
        workers, self._workers = self._workers, []
        await asyncio.gather(*(worker.leave() for worker in workers))
        return {}


async def serve(address: str) -> None:
    """Does commands until there are no more."""
    load = Load(address)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command: dict[str, Any] = json.loads(line)
        answer = await getattr(load, command.pop("do"))(**command)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
