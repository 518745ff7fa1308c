"""Submissions of many coroutines in few calls: what arrives while one call is under way
goes together with the next, so nobody waits for a timer and nobody pays for a call alone.

A batch is stored whole or not at all, so one bad task would refuse its neighbours, who know
nothing of it: a refused batch is divided until only the task at fault is refused.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Final

from pullwork.connection import Connection
from pullwork.errors import (
    DeadlineError,
    DiskFullError,
    InvalidFieldError,
    PullworkError,
    QueueFullError,
    UnavailableError,
)
from pullwork.telemetry.submissions import Submissions, end_with
from pullwork.v1 import task_pb2, task_service_pb2

TASKS_MAX: Final = 1000
# The contract's bound; with the framing of a thousand tasks it stays below a message's 4 MiB.
BYTES_MAX: Final = 3 * 1024 * 1024
_INDEX: Final = re.compile(r"tasks\[(\d+)\]\.?")
_ANY_QUEUE: Final = ""

Receipt = task_service_pb2.Receipt


class _Waiting:
    """One task on its way to the master."""

    __slots__ = ("bytes", "ends", "receipt", "spec")

    def __init__(
        self, spec: task_pb2.TaskSpec, size: int, ends: float, receipt: asyncio.Future[Receipt]
    ) -> None:
        self.spec = spec
        self.bytes = size
        self.ends = ends
        self.receipt = receipt

    def refuse(self, error: PullworkError) -> None:
        if not self.receipt.done():
            self.receipt.set_exception(error)


class Submitter:
    """Sends what coroutines submit, at most one call at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: deque[_Waiting] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._closed = False
        # None: this program traces nothing.
        self.tracing: Submissions | None = None

    def submit(self, spec: task_pb2.TaskSpec) -> asyncio.Future[Receipt]:
        """Takes a task and returns where its receipt will be.

        The receipt fails with what the master refuses this task with, or UnavailableError.
        """
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        if self._closed:
            receipt.set_exception(UnavailableError("this client is closed"))
            return receipt
        size = checked_size(spec)
        if self.tracing is not None:
            span = self.tracing.begin(spec)
            receipt.add_done_callback(partial(end_with, span))
            size = spec.ByteSize()  # with the trace in its headers
        ends = time.monotonic() + self._connection.deadline_s
        self._waiting.append(_Waiting(spec, size, ends, receipt))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all(), name="pullwork submitter")
        return receipt

    def traced(self, specs: Sequence[task_pb2.TaskSpec]) -> AbstractContextManager[None]:
        """Returns what traces the submission of a list, which goes another way, from here on."""
        return nullcontext() if self.tracing is None else self.tracing.many(specs)

    async def close(self) -> None:
        """Refuses what is not stored yet."""
        self._closed = True
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])
        self._refuse(self._waiting, UnavailableError("this client is closed"))
        self._waiting.clear()

    async def _send_all(self) -> None:
        batch: list[_Waiting] = []
        try:
            while self._waiting:
                batch = self._take()
                await self._send(batch)
        except BaseException as error:
            # Nobody awaits this task: those who wait must hear of its end, whatever ended it.
            reason = UnavailableError(
                "this client is closed" if self._closed else f"submitting broke off: {error!r}"
            )
            self._refuse(batch, reason)
            self._refuse(self._waiting, reason)
            self._waiting.clear()
            raise
        finally:
            self._sender = None

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and len(batch) < TASKS_MAX:
            first = self._waiting[0]
            if batch and size + first.bytes > BYTES_MAX:
                break
            self._waiting.popleft()
            if not first.receipt.done():  # its caller may have gone
                batch.append(first)
                size += first.bytes
        return batch

    async def _send(self, batch: list[_Waiting]) -> None:
        """Sends a batch in as many parts as it takes for each task to get its own answer."""
        refused: dict[str, PullworkError] = {}
        parts = [batch]
        while parts:
            part = _without_refused(parts.pop(), refused)
            if not part:
                continue
            request = task_service_pb2.SubmitTasksRequest(tasks=[it.spec for it in part])
            left_s = min(it.ends for it in part) - time.monotonic()
            try:
                answer = await self._connection.call(
                    self._connection.tasks.SubmitTasks, request, deadline_s=left_s
                )
            except (UnavailableError, DeadlineError) as error:
                self._give_up(part, error)
            except PullworkError as error:
                parts.extend(_divide(part, error, refused))
            else:
                for it, receipt in zip(part, answer.receipts, strict=True):
                    if not it.receipt.done():
                        it.receipt.set_result(receipt)

    def _give_up(self, part: list[_Waiting], error: PullworkError) -> None:
        """Refuses those whose time is over; the others, who came later, go with the next call."""
        oldest = min(it.ends for it in part)
        now = max(time.monotonic(), oldest)
        self._refuse([it for it in part if it.ends <= now], error)
        self._waiting.extendleft(reversed([it for it in part if it.ends > now]))

    @staticmethod
    def _refuse(waiting: Iterable[_Waiting], error: PullworkError) -> None:
        for it in waiting:
            it.refuse(error)


def checked_size(spec: task_pb2.TaskSpec) -> int:
    """Returns the bytes that a task adds to a request; raises InvalidFieldError if too many.

    The master has a tighter bound of its own; what is larger than this could not even reach it.
    """
    size = spec.ByteSize()
    if size > BYTES_MAX:
        raise InvalidFieldError(
            f"the task is {size} bytes large; {BYTES_MAX} is the most that can be sent: "
            "keep the data elsewhere and send where it is",
            field="payload",
        )
    return size


def chunks(specs: Iterable[task_pb2.TaskSpec]) -> Iterator[list[task_pb2.TaskSpec]]:
    """Divides tasks into lists that each fit one call."""
    chunk: list[task_pb2.TaskSpec] = []
    room = BYTES_MAX
    for spec in specs:
        size = checked_size(spec)
        if len(chunk) == TASKS_MAX or (chunk and size > room):
            yield chunk
            chunk, room = [], BYTES_MAX
        chunk.append(spec)
        room -= size
    if chunk:
        yield chunk


def index_of(error: PullworkError) -> tuple[int, str] | None:
    """Finds which task of a request an error is about, and the rest of its field's path."""
    found = _INDEX.match(error.field)
    return (int(found[1]), error.field[found.end() :]) if found else None


def _divide(
    part: list[_Waiting], error: PullworkError, refused: dict[str, PullworkError]
) -> list[list[_Waiting]]:
    """Refuses who is at fault, if that can be told, and returns what to send again, last first."""
    if len(part) == 1:
        part[0].refuse(_relative(error))
        if isinstance(error, QueueFullError):
            refused[part[0].spec.queue] = error
        elif isinstance(error, DiskFullError):
            refused[_ANY_QUEUE] = error
        return []
    blamed = index_of(error)
    if blamed is not None and blamed[0] < len(part):
        part[blamed[0]].refuse(_relative(error))
        return [part[: blamed[0]] + part[blamed[0] + 1 :]]
    middle = len(part) // 2
    return [part[middle:], part[:middle]]


def _without_refused(part: list[_Waiting], refused: dict[str, PullworkError]) -> list[_Waiting]:
    """Refuses the tasks of queues that are known to be full, without asking for each."""
    kept = []
    for it in part:
        error = refused.get(it.spec.queue) or refused.get(_ANY_QUEUE)
        if error is None:
            kept.append(it)
        else:
            it.refuse(error)
    return kept


def _relative(error: PullworkError) -> PullworkError:
    """Says the field as the caller knows it: its task was the only one it submitted."""
    blamed = index_of(error)
    if blamed is None:
        return error
    prefix = error.field[: len(error.field) - len(blamed[1])]
    return type(error)(
        str(error).replace(prefix, ""),
        field=blamed[1],
        metadata=error.metadata,
        retry_after_s=error.retry_after_s,
    )
