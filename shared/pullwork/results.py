"""The ends of tasks, brought to those who wait for them.

One stream by owner, opened before the first submission is sent, tells the ends of all that
this client submits. Tasks that others submitted are watched by their ids. Both streams
are resumed when they break, so that a master may be restarted while clients wait.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterable
from typing import Any, Final

import grpc.aio

from pullwork.connection import Backoff, Connection
from pullwork.errors import PullworkError, TaskNotFoundError, UnavailableError
from pullwork.v1 import task_pb2, task_service_pb2

IDS_MAX: Final = 1000

Watching = grpc.aio.UnaryStreamCall[Any, task_service_pb2.WatchTasksResponse]


class Pending:
    """A task whose end is awaited; gone as soon as nobody holds it."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        # An error is a result here: nobody need retrieve it.
        self.end: asyncio.Future[task_pb2.Task | PullworkError] = (
            asyncio.get_running_loop().create_future()
        )

    def settle(self, end: task_pb2.Task | PullworkError) -> None:
        """Tells the end; the first one stands."""
        if not self.end.done():
            self.end.set_result(end)


class Results:
    """All ends that a client waits for."""

    def __init__(self, connection: Connection, owner: str) -> None:
        self._connection = connection
        self._owner = owner
        self._pending: weakref.WeakValueDictionary[str, Pending] = weakref.WeakValueDictionary()
        self._cursor = ""
        self._standing: asyncio.Future[None] | None = None
        self._to_follow: list[str] = []
        self._readers: set[asyncio.Task[None]] = set()

    def expect(self, task_id: str) -> Pending:
        """Returns where the end of a task will be told, once the owner's stream stands."""
        pending = self._pending.get(task_id)
        if pending is None or pending.end.done():
            pending = self._pending[task_id] = Pending(task_id)
        return pending

    def follow(self, task_id: str) -> Pending:
        """Does the same for a task that the owner's stream may not tell of."""
        pending = self.expect(task_id)
        if not self._to_follow:
            self._start(self._follow_gathered())
        self._to_follow.append(task_id)
        return pending

    async def open(self) -> None:
        """Returns when the owner's stream stands: no end from now on is missed.

        Raises UnavailableError or what the master refuses the owner with.
        """
        standing = self._standing
        if standing is not None and standing.done() and standing.exception() is None:
            return
        if standing is None or standing.done():
            standing = self._standing = asyncio.get_running_loop().create_future()
            self._start(self._read_owned(standing))
        await asyncio.shield(standing)

    async def close(self) -> None:
        """Stops reading; who still waits gets UnavailableError."""
        for reader in self._readers:
            reader.cancel()
        if self._readers:
            await asyncio.wait(self._readers)
        # A reader that was cancelled before it began could not say so itself.
        closed = UnavailableError("this client is closed")
        if self._standing is not None and not self._standing.done():
            self._standing.set_exception(closed)
            self._standing.exception()
        for pending in list(self._pending.values()):
            pending.settle(closed)

    def _start(self, reading: Any) -> None:
        reader = asyncio.create_task(reading, name="pullwork results")
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)

    def _settle(self, tasks: Iterable[task_pb2.Task]) -> None:
        for task in tasks:
            pending = self._pending.pop(task.spec.task_id, None)
            if pending is not None:
                pending.settle(task)

    def _settle_unknown(self, task_ids: Iterable[str]) -> None:
        for task_id in task_ids:
            pending = self._pending.pop(task_id, None)
            if pending is not None:
                pending.settle(
                    TaskNotFoundError(
                        f"no task {task_id}; perhaps it ended and its retention is over",
                        metadata={"task_id": task_id},
                    )
                )

    async def _read_owned(self, standing: asyncio.Future[None]) -> None:
        backoff = Backoff()
        while True:
            try:
                async for message in self._connection.resumed(
                    self._open_owned, patient=standing.done(), endless=True
                ):
                    if not standing.done():
                        standing.set_result(None)
                    backoff.reset()
                    self._cursor = message.cursor
                    self._settle(message.tasks)
                    if message.lapse:
                        self._follow_all()
            except PullworkError as error:
                if not standing.done():
                    standing.set_exception(error)
                    standing.exception()  # whoever waits hears it; perhaps nobody does any more
                    return
                # Another folder stands behind the address now, and knows nothing of the cursor.
                self._cursor = ""
                self._follow_all()
            await asyncio.sleep(backoff.next_s())

    def _open_owned(self) -> Watching:
        request = task_service_pb2.WatchTasksRequest(owner=self._owner, cursor=self._cursor)
        return self._connection.tasks.WatchTasks(request)

    def _follow_all(self) -> None:
        for task_id in list(self._pending):
            self.follow(task_id)

    async def _follow_gathered(self) -> None:
        # Runs after the coroutines that are ready now, so it finds what they all asked for.
        task_ids, self._to_follow = list(dict.fromkeys(self._to_follow)), []
        for start in range(0, len(task_ids), IDS_MAX):
            self._start(self._follow(task_ids[start : start + IDS_MAX]))

    async def _follow(self, task_ids: list[str]) -> None:
        left = dict.fromkeys(task_ids)
        backoff = Backoff()

        def open_stream() -> Watching:
            request = task_service_pb2.WatchTasksRequest(task_ids=list(left))
            return self._connection.tasks.WatchTasks(request)

        while left:
            try:
                async for message in self._connection.resumed(open_stream, patient=True):
                    for task in message.tasks:
                        left.pop(task.spec.task_id, None)
                    for task_id in message.unknown_task_ids:
                        left.pop(task_id, None)
                    self._settle(message.tasks)
                    self._settle_unknown(message.unknown_task_ids)
                    if not left:
                        return
            except PullworkError as error:
                for task_id in left:
                    if (pending := self._pending.pop(task_id, None)) is not None:
                        pending.settle(error)
                return
            await asyncio.sleep(backoff.next_s())
