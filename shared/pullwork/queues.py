"""What a client can ask and do about queues."""

from __future__ import annotations

import builtins
from typing import Unpack

from pullwork.connection import Connection
from pullwork.queue_info import LimitChanges, QueueInfo, limits_request
from pullwork.v1 import queue_service_pb2 as pb


class Queues:
    """The queues of a master; `Client.queues`.

    All methods but `list` and `set_limits` raise QueueNotFoundError for a queue that never had a
    task.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def list(self) -> builtins.list[QueueInfo]:
        """Returns all queues by name."""
        answer = await self._connection.call(
            self._connection.queues.ListQueues, pb.ListQueuesRequest()
        )
        return [QueueInfo.from_proto(queue) for queue in answer.queues]

    async def get(self, name: str) -> QueueInfo:
        """Returns one queue as it is now."""
        answer = await self._connection.call(
            self._connection.queues.GetQueue, pb.GetQueueRequest(name=name)
        )
        return QueueInfo.from_proto(answer.queue)

    async def pause(self, name: str) -> QueueInfo:
        """Stops grants from a queue; running tasks go on, submissions are taken."""
        answer = await self._connection.call(
            self._connection.queues.PauseQueue, pb.PauseQueueRequest(name=name)
        )
        return QueueInfo.from_proto(answer.queue)

    async def resume(self, name: str) -> QueueInfo:
        """Lets grants go on."""
        answer = await self._connection.call(
            self._connection.queues.ResumeQueue, pb.ResumeQueueRequest(name=name)
        )
        return QueueInfo.from_proto(answer.queue)

    async def set_limits(
        self, name: str, *, clear: bool = False, **changes: Unpack[LimitChanges]
    ) -> QueueInfo:
        """Changes limits of a queue, which is made if need be; they hold from now on.

        What is not named stays as it is; with `clear` it is taken away. Raises InvalidFieldError.
        """
        answer = await self._connection.call(
            self._connection.queues.SetQueueLimits,
            limits_request(name, clear=clear, changes=changes),
        )
        return QueueInfo.from_proto(answer.queue)

    async def purge(self, name: str) -> int:
        """Cancels every task that waits in a queue and returns how many; running ones go on."""
        answer = await self._connection.call(
            self._connection.queues.PurgeQueue, pb.PurgeQueueRequest(name=name)
        )
        return answer.cancelled
