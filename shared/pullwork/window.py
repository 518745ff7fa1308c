"""Many calls with few of them in flight: what `Client.map` does.

The window holds every call from the moment it is taken from the caller's iterable until its
end is handed out, so memory stays constant however many there are.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pullwork.errors import DiskFullError, PullworkError, QueueFullError
from pullwork.handle import unpack
from pullwork.results import Pending, Results
from pullwork.submitter import Receipt, Submitter
from pullwork.task_info import TaskInfo
from pullwork.tasks import Call
from pullwork.v1 import task_pb2

T_co = TypeVar("T_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)

FULL_WAIT_S: Final = 1.0
# Payloads in a window, whatever its size; the last may go beyond.
BYTES_MAX: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ended(Generic[T_co, R_co]):
    """One ended call of many: what it was about, and how it ended."""

    item: T_co
    call: Call[R_co]
    _end: task_pb2.Task

    @property
    def task(self) -> TaskInfo:
        """The ended task."""
        return TaskInfo.from_proto(self._end)

    def result(self) -> R_co:
        """Returns the result; raises TaskFailedError or TaskCancelledError as the task ended."""
        value: R_co = unpack(self._end, self.call.task)
        return value


class _Flight(Generic[T_co, R_co]):
    """One call in the window."""

    __slots__ = ("call", "end", "item", "pending", "spec")

    def __init__(self, item: T_co, call: Call[R_co], spec: task_pb2.TaskSpec) -> None:
        self.item = item
        self.call = call
        self.spec = spec
        self.pending: Pending | None = None
        self.end: task_pb2.Task | PullworkError | None = None


class Window(Generic[T_co, R_co]):
    """Submits calls as room comes free, and hands out their ends."""

    def __init__(
        self,
        results: Results,
        submitter: Submitter,
        flights: Iterator[tuple[T_co, Call[R_co], task_pb2.TaskSpec]],
        *,
        size: int,
        ordered: bool,
    ) -> None:
        self._results = results
        self._submitter = submitter
        self._source = flights
        self._size = size
        self._ordered = ordered
        # All that is in flight, in the order of the source; pending ends live as long as somebody
        # holds them.
        self._open: dict[_Flight[T_co, R_co], None] = {}
        self._open_bytes = 0
        self._ended: deque[_Flight[T_co, R_co]] = deque()
        self._refused: deque[_Flight[T_co, R_co]] = deque()  # by a full queue or disk
        self._full_until = 0.0
        self._news = asyncio.Event()

    async def ends(self) -> AsyncGenerator[Ended[T_co, R_co]]:
        """Yields every call's end; raises what a call could not be submitted for."""
        more = True
        while more or self._open:
            self._submit_refused()
            more = more and self._fill()
            flight = self._take()
            if flight is not None:
                del self._open[flight]
                self._open_bytes -= len(flight.spec.payload)
                if isinstance(flight.end, PullworkError):
                    raise flight.end
                assert flight.end is not None
                yield Ended(flight.item, flight.call, flight.end)
            elif more or self._open:
                await self._wait()

    def _fill(self) -> bool:
        """Submits as many as there is room for; False once the source is at its end."""
        while self._has_room():
            try:
                item, call, spec = next(self._source)
            except StopIteration:
                return False
            flight = _Flight(item, call, spec)
            self._open[flight] = None
            self._open_bytes += len(spec.payload)
            self._submit(flight)
        return True

    def _has_room(self) -> bool:
        return len(self._open) < self._size and self._open_bytes < BYTES_MAX and not self._refused

    def _submit_refused(self) -> None:
        """Tries again what a full queue or disk refused, once the time it asked for is over."""
        if time.monotonic() >= self._full_until:
            while self._refused:
                self._submit(self._refused.popleft())

    def _submit(self, flight: _Flight[T_co, R_co]) -> None:
        flight.pending = self._results.expect(flight.spec.task_id)
        flight.pending.end.add_done_callback(lambda end: self._end(flight, end.result()))
        receipt = self._submitter.submit(flight.spec)
        receipt.add_done_callback(lambda receipt: self._answered(flight, receipt))

    def _answered(self, flight: _Flight[T_co, R_co], receipt: asyncio.Future[Receipt]) -> None:
        error = None if receipt.cancelled() else receipt.exception()
        if isinstance(error, QueueFullError | DiskFullError):
            self._full_until = time.monotonic() + (error.retry_after_s or FULL_WAIT_S)
            self._refused.append(flight)
            self._news.set()
        elif isinstance(error, PullworkError):
            self._end(flight, error)
        elif error is None and not receipt.cancelled() and receipt.result().duplicate:
            flight.pending = self._results.follow(receipt.result().task_id)
            flight.pending.end.add_done_callback(lambda end: self._end(flight, end.result()))

    def _end(self, flight: _Flight[T_co, R_co], end: Any) -> None:
        if flight.end is None:
            flight.end = end
            if not self._ordered:
                self._ended.append(flight)
            self._news.set()

    def _take(self) -> _Flight[T_co, R_co] | None:
        if not self._ordered:
            return self._ended.popleft() if self._ended else None
        first = next(iter(self._open), None)
        return first if first is not None and first.end is not None else None

    async def _wait(self) -> None:
        self._news.clear()
        full_s = self._full_until - time.monotonic() if self._refused else None
        try:
            async with asyncio.timeout(full_s):
                await self._news.wait()
        except TimeoutError:
            return  # there may be room again
