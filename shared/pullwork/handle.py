"""One submitted task in the hands of who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pullwork import payload
from pullwork.errors import (
    DeadlineError,
    PullworkError,
    TaskCancelledError,
    TaskFailedError,
)
from pullwork.results import Pending, Results
from pullwork.task_info import Explanation, Progress, TaskInfo
from pullwork.v1 import task_pb2

if TYPE_CHECKING:
    from pullwork.client import Client
    from pullwork.tasks import Task

R_co = TypeVar("R_co", covariant=True)


class Handle(Generic[R_co]):
    """A task of the master's, by its id; awaiting it gives its result.

    It keeps the first end that it hears of: after a retry by hand take another by `Client.handle`.
    `duplicate` tells that the task was there before it was submitted.
    """

    def __init__(
        self,
        client: Client,
        results: Results,
        task_id: str,
        task: Task[..., R_co] | None,
        pending: Pending | None,
        *,
        duplicate: bool = False,
    ) -> None:
        self.id = task_id
        self.duplicate = duplicate
        self._client = client
        self._results = results
        self._task = task
        self._pending = pending

    def __repr__(self) -> str:
        return f"<handle of task {self.id}>"

    async def result(self, timeout: float | None = None) -> R_co:  # noqa: ASYNC109
        """Waits for the end and returns the result, also over a restart of the master.

        Raises TaskFailedError or TaskCancelledError as the task ended, DeadlineError after
        `timeout` seconds (the task goes on), and TaskNotFoundError if it was deleted.
        """
        value: R_co = unpack(await self._end(timeout), self._task)
        return value

    def __await__(self) -> Generator[Any, None, R_co]:
        return self.result().__await__()

    async def wait(self, timeout: float | None = None) -> TaskInfo:  # noqa: ASYNC109
        """Waits for the end and returns it, whichever it is; raises DeadlineError as `result`."""
        return TaskInfo.from_proto(await self._end(timeout))

    def done(self) -> bool:
        """Tells whether the end has been heard of; asks nobody."""
        return self._pending is not None and self._pending.end.done()

    async def status(self) -> TaskInfo:
        """Returns the task as the master sees it now."""
        return await self._client.get(self.id)

    async def progress(self) -> Progress | None:
        """Returns what the running attempt last said of itself."""
        return (await self.status()).progress

    async def explain(self) -> Explanation:
        """Returns why the task is where it is."""
        return await self._client.explain(self.id)

    async def cancel(self) -> None:
        """Cancels the task, also if it runs; raises TaskEndedError if it has ended."""
        await self._client.cancel(self.id)

    async def _end(self, timeout: float | None) -> task_pb2.Task:  # noqa: ASYNC109
        if self._pending is None:
            self._pending = self._results.follow(self.id)
        try:
            async with asyncio.timeout(timeout):
                end = await asyncio.shield(self._pending.end)
        except TimeoutError:
            raise DeadlineError(
                f"task {self.id} did not end within {timeout:g} s; it goes on"
            ) from None
        if isinstance(end, PullworkError):
            raise end
        return end


def unpack(end: task_pb2.Task, task: Task[..., Any] | None) -> Any:
    """Returns the result of an ended task; raises TaskFailedError or TaskCancelledError."""
    if end.state == task_pb2.TASK_STATE_SUCCEEDED:
        return payload.decode_result(task, end.result.data, end.result.content_type)
    if end.state == task_pb2.TASK_STATE_CANCELLED:
        raise TaskCancelledError(
            f"task {end.spec.task_id} ({end.spec.type}) was cancelled",
            task=TaskInfo.from_proto(end),
        )
    info = TaskInfo.from_proto(end)
    failure = info.failure
    said = f"{failure.kind}: {failure.type}: {failure.message}" if failure else "no reason is known"
    raise TaskFailedError(f"task {info.id} ({info.type}) failed: {said}", task=info)
