"""Sends the lines of an instance's log to whoever asked the master for them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Final

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from pullwork.v1 import master_service_pb2, node_service_pb2_grpc, orchestrator_service_pb2
from pullwork.v1 import node_service_pb2 as pb
from pullwork_worker.services.keeper import Keeper
from pullwork_worker.services.runner import Line, UnreadableError

# So many logs are sent at once; who asks for more is told to come again.
SENDS_MAX: Final = 32
TAIL_LINES_MAX: Final = 10_000
# What has gathered for so long, or is so much, is sent.
_GATHER_S: Final = 0.1
_LINES_MAX: Final = 200
_BYTES_MAX: Final = 256 * 1024

log = logging.getLogger("pullwork.worker")
Wanted = master_service_pb2.TaskIncomingResponse.LogWanted


class LogSender:
    """All logs that are being sent."""

    def __init__(self, stub: node_service_pb2_grpc.NodeServiceAsyncStub, keeper: Keeper) -> None:
        self._stub = stub
        self._keeper = keeper
        self._sends: set[asyncio.Task[None]] = set()

    def begin(self, session_id: str, wanted: Wanted) -> None:
        """Sends a log until it ends, or nobody reads it any more."""
        send = asyncio.create_task(self._send(session_id, wanted), name=f"log {wanted.log_id}")
        self._sends.add(send)
        send.add_done_callback(self._sends.discard)

    async def close(self) -> None:
        """Ends all."""
        for send in self._sends:
            send.cancel()
        await asyncio.gather(*self._sends, return_exceptions=True)

    async def _send(self, session_id: str, wanted: Wanted) -> None:
        try:
            await self._stub.SendLogs(self._messages(session_id, wanted))
        except grpc.aio.AioRpcError as error:
            log.debug("a log could not be sent: %s", error.details())

    async def _messages(self, session_id: str, wanted: Wanted) -> AsyncIterator[pb.SendLogsRequest]:
        first = pb.SendLogsRequest(session_id=session_id, log_id=wanted.log_id)
        instance = self._keeper.instances.get(wanted.task_id)
        program = None if instance is None else instance.program
        if program is None:
            state = "is not on this node" if instance is None else f"is {instance.phase.name}"
            first.problem = f"there is no log yet: the instance {state}"
        elif len(self._sends) > SENDS_MAX:
            first.problem = f"this node sends {SENDS_MAX} logs already; try again later"
        yield first
        if program is None or first.problem:
            return
        tail = min(max(wanted.tail_lines, 0), TAIL_LINES_MAX)
        lines = program.lines(tail, follow=wanted.follow)
        try:
            async for batch in _batches(lines):
                yield pb.SendLogsRequest(lines=[_line(it) for it in batch])
        except UnreadableError as error:
            yield pb.SendLogsRequest(problem=str(error))


async def _batches(lines: AsyncIterator[Line]) -> AsyncIterator[list[Line]]:
    """Gathers lines for a moment; reads no further than what was taken from it."""
    queue: asyncio.Queue[Line | Exception | None] = asyncio.Queue(_LINES_MAX)

    async def read() -> None:
        try:
            async for line in lines:
                await queue.put(line)
            await queue.put(None)
        except Exception as error:
            await queue.put(error)

    reader = asyncio.create_task(read(), name="log reader")
    try:
        last: Line | Exception | None = await queue.get()
        while isinstance(last, Line):
            batch, size = [last], _size(last)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GATHER_S):
                    while len(batch) < _LINES_MAX and size < _BYTES_MAX:
                        last = await queue.get()
                        if not isinstance(last, Line):
                            break
                        batch.append(last)
                        size += _size(last)
            yield batch
            if isinstance(last, Line):
                last = await queue.get()
        if isinstance(last, Exception):
            raise last
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


def _size(line: Line) -> int:
    """Returns what a line takes in a message, about: characters may be of four bytes."""
    return len(line.text.encode(errors="replace"))


def _line(line: Line) -> orchestrator_service_pb2.LogLine:
    at = Timestamp()
    at.FromMilliseconds(line.time_ms)
    # A lone surrogate can't be sent.
    text = line.text.encode(errors="replace").decode()
    return orchestrator_service_pb2.LogLine(time=at, text=text, stderr=line.stderr)
