"""A running report of what happens to tasks, which goes on where it broke off."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import grpc.aio

from pullwork.connection import Connection
from pullwork.task_info import TaskInfo
from pullwork.v1 import task_service_pb2

Answer = task_service_pb2.WatchTasksResponse


class Watch(AsyncIterator[TaskInfo]):
    """Yields tasks as they end, or as they change; made by `Client.watch`.

    `cursor` is where to resume in another process: everything yielded before the message of
    the present task is behind it. `lapsed` turns true if retention deleted ends before they could
    be told; `unknown_task_ids` are those asked for that do not exist.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        task_ids: Sequence[str],
        owner: str,
        queue: str,
        every_change: bool,
        cursor: str,
    ) -> None:
        self._connection = connection
        self._task_ids = task_ids
        self._owner = owner
        self._queue = queue
        self._every_change = every_change
        self._ready: deque[TaskInfo] = deque()
        self._read_up_to = cursor
        self._messages: AsyncGenerator[Answer] = connection.resumed(
            self._open, endless=not task_ids
        )
        self.cursor = cursor
        self.lapsed = False
        self.unknown_task_ids: tuple[str, ...] = ()

    def _open(self) -> grpc.aio.UnaryStreamCall[Any, Answer]:
        request = task_service_pb2.WatchTasksRequest(
            task_ids=self._task_ids,
            owner=self._owner,
            queue=self._queue,
            every_change=self._every_change,
            cursor=self._read_up_to,
        )
        return self._connection.tasks.WatchTasks(request)

    async def open(self) -> Watch:
        """Returns when the report stands: nothing from now on is missed."""
        if not self._read_up_to:
            await self._read()
        if not self._ready:
            self.cursor = self._read_up_to
        return self

    async def _read(self) -> None:
        message = await anext(self._messages)
        self._read_up_to = message.cursor
        self.lapsed = self.lapsed or message.lapse
        self.unknown_task_ids += tuple(message.unknown_task_ids)
        self._ready.extend(map(TaskInfo.from_proto, message.tasks))

    async def __anext__(self) -> TaskInfo:
        while not self._ready:
            self.cursor = self._read_up_to
            await self._read()
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Ends the report."""
        await self._messages.aclose()
