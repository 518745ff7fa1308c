"""The client: submits tasks, brings back their results, and asks and tells the master.

It translates between Python and the contract; what repeats, resumes and gathers stands
in `connection`, `submitter` and `results`.
"""

from __future__ import annotations

import builtins
import uuid
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Concatenate, Final, Self, TypeVar, Unpack, overload

import grpc.aio

from pullwork.connection import Connection
from pullwork.errors import InvalidFieldError, PullworkError
from pullwork.handle import Handle
from pullwork.ids import checked_task_id
from pullwork.node_info import (
    Change,
    MemberInfo,
    RegistryChange,
    WorkerInfo,
    WorkerState,
    worker_state_number,
)
from pullwork.payload import Encoded
from pullwork.queues import Queues
from pullwork.results import Results
from pullwork.services import Services
from pullwork.submission import SharedOptions, SubmitOptions, call_spec, make_spec
from pullwork.submitter import Submitter, chunks, index_of
from pullwork.task_info import Explanation, TaskFilter, TaskInfo, TaskState
from pullwork.tasks import Call, Options, Task
from pullwork.telemetry.submissions import find_submissions
from pullwork.v1 import registry_service_pb2, task_pb2, task_service_pb2
from pullwork.watch import Watch
from pullwork.window import Ended, Window

R = TypeVar("R")
T = TypeVar("T")

Event = registry_service_pb2.WatchRegistryResponse

DEADLINE_S: Final = 30.0
WINDOW: Final = 2000
PAGE: Final = 500
ANY: Final = TaskFilter()


class Client:
    """A connection to a master; use it as `async with Client(...) as client`.

    `address` is `host:port`; left out, it is the setting (`PULLWORK_ADDRESS`, the file, else
    127.0.0.1:7733). `owner` is whose the submitted tasks are; left out, a new one. Calls that
    can't reach the master are tried again for `deadline` seconds, then raise UnavailableError.
    What the master refuses raises the exception of `pullwork.errors` with its reason.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        owner: str | None = None,
        deadline: float = DEADLINE_S,
    ) -> None:
        self.address: Final = address or _address_of_settings()
        self.owner: Final = owner or f"client-{uuid.uuid4()}"
        self._connection: Final = Connection(self.address, deadline)
        self._submitter: Final = Submitter(self._connection)
        self._results: Final = Results(self._connection, self.owner)
        self.queues: Final = Queues(self._connection)
        self.services: Final = Services(self._connection)

    async def __aenter__(self) -> Self:
        self._connection.open()
        self._submitter.tracing = find_submissions(self.address)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._submitter.close()
        await self._results.close()
        await self._connection.close()

    # --- submitting

    async def submit(self, call: Call[R], **options: Unpack[SubmitOptions]) -> Handle[R]:
        """Submits a call; when it returns, the task is on the master's disk.

        Submissions of many coroutines travel together. Raises QueueFullError, DiskFullError,
        InvalidFieldError, TaskIdConflictError; UnavailableError or DeadlineError if no answer
        came in time: then it may be stored.
        """
        spec = call_spec(call, options, self.owner)
        return await self._submit(spec, call.task)

    async def submit_raw(
        self,
        type: str,
        payload: bytes,
        content_type: str = "",
        **options: Unpack[SubmitOptions],
    ) -> Handle[Any]:
        """Submits a task of a type whose function is not at hand; else as `submit`.

        A JSON result is unpacked into plain values; any other stays bytes.
        """
        spec = make_spec(type, Encoded(payload, content_type), Options(), options, self.owner)
        return await self._submit(spec, None)

    async def _submit(self, spec: task_pb2.TaskSpec, task: Task[..., R] | None) -> Handle[R]:
        await self._results.open()
        pending = self._results.expect(spec.task_id)
        receipt = await self._submitter.submit(spec)
        if receipt.duplicate:
            # It may have ended before the stream stood, and its owner may be another.
            pending = self._results.follow(receipt.task_id)
        return Handle(
            self, self._results, receipt.task_id, task, pending, duplicate=receipt.duplicate
        )

    async def submit_many(
        self, calls: Iterable[Call[R]], **options: Unpack[SharedOptions]
    ) -> builtins.list[Handle[R]]:
        """Submits calls in their order: up to 1000 (3 MiB) all or none, more in such parts."""
        todo = builtins.list(calls)
        specs = [call_spec(call, options, self.owner) for call in todo]
        await self._results.open()
        with self._submitter.traced(specs):
            return await self._submit_parts(todo, specs)

    async def _submit_parts(
        self, todo: builtins.list[Call[R]], specs: builtins.list[task_pb2.TaskSpec]
    ) -> builtins.list[Handle[R]]:
        handles: builtins.list[Handle[R]] = []
        for chunk in chunks(specs):
            expected = [self._results.expect(spec.task_id) for spec in chunk]
            request = task_service_pb2.SubmitTasksRequest(tasks=chunk)
            try:
                answer = await self._connection.call(self._connection.tasks.SubmitTasks, request)
            except PullworkError as error:
                if (found := index_of(error)) is not None:
                    error.field = f"calls[{len(handles) + found[0]}].{found[1]}"
                raise
            for pending, receipt in zip(expected, answer.receipts, strict=True):
                if receipt.duplicate:
                    pending = self._results.follow(receipt.task_id)  # noqa: PLW2901
                task = todo[len(handles)].task
                handles.append(
                    Handle(
                        self,
                        self._results,
                        receipt.task_id,
                        task,
                        pending,
                        duplicate=receipt.duplicate,
                    )
                )
        return handles

    async def run(self, call: Call[R], **options: Unpack[SubmitOptions]) -> R:
        """Submits a call and waits for its result; raises what `Handle.result` raises."""
        return await (await self.submit(call, **options)).result()

    def map(
        self,
        task: Task[Concatenate[T, ...], R],
        items: Iterable[T],
        *,
        window: int = WINDOW,
        ordered: bool = False,
        **options: Unpack[SharedOptions],
    ) -> AsyncGenerator[Ended[T, R]]:
        """Runs a task with each item as its first argument, and yields each call as it ends.

        At most `window` calls, and 16 MiB of payloads, are in flight or not yet handed out, so
        memory stays constant. Full queues are waited for. `ordered` yields in the order of the
        items. Calls that were submitted when the loop is left go on.
        """
        if not isinstance(task, Task):
            raise InvalidFieldError(f"map takes a task, made by @task, got {task!r}", field="task")
        with_args: Any = task.with_args
        calls = ((item, with_args(item)) for item in items)
        return self._map(calls, window, ordered, options)

    def map_calls(
        self,
        calls: Iterable[Call[R]],
        *,
        window: int = WINDOW,
        ordered: bool = False,
        **options: Unpack[SharedOptions],
    ) -> AsyncGenerator[Ended[Call[R], R]]:
        """Does what `map` does for calls of any tasks and arguments."""
        return self._map(((call, call) for call in calls), window, ordered, options)

    async def _map(
        self,
        calls: Iterator[tuple[T, Call[R]]],
        window: int,
        ordered: bool,
        options: SharedOptions,
    ) -> AsyncGenerator[Ended[T, R]]:
        if window < 1:
            raise InvalidFieldError("window must be 1 or more", field="window")
        await self._results.open()
        flights = ((item, call, call_spec(call, options, self.owner)) for item, call in calls)
        spread = Window(self._results, self._submitter, flights, size=window, ordered=ordered)
        async for ended in spread.ends():
            yield ended

    @overload
    def handle(self, task_id: str, task: None = None) -> Handle[Any]: ...
    @overload
    def handle(self, task_id: str, task: Task[..., R]) -> Handle[R]: ...
    def handle(self, task_id: str, task: Task[..., Any] | None = None) -> Handle[Any]:
        """Takes hold of a task by its id, also of one that another process submitted.

        `task` says how to unpack the result. Asks nobody: that the task exists shows later.
        """
        return Handle(self, self._results, checked_task_id(task_id), task, None)

    # --- asking about tasks

    async def get(self, task_id: str) -> TaskInfo:
        """Returns a task, whole, as it is now; raises TaskNotFoundError."""
        answer = await self._connection.call(
            self._connection.tasks.GetTask, task_service_pb2.GetTaskRequest(task_id=task_id)
        )
        return TaskInfo.from_proto(answer.task)

    async def explain(self, task_id: str) -> Explanation:
        """Returns in one sentence why a task is where it is; raises TaskNotFoundError."""
        answer = await self._connection.call(
            self._connection.tasks.ExplainTask,
            task_service_pb2.ExplainTaskRequest(task_id=task_id),
        )
        return Explanation.from_proto(answer)

    async def list(
        self,
        *,
        queue: str = "",
        type: str = "",
        owner: str = "",
        states: Sequence[TaskState] = (),
    ) -> AsyncGenerator[TaskInfo]:
        """Yields tasks, newest first, without payloads and results; what is given must match."""
        request = task_service_pb2.ListTasksRequest(
            filter=TaskFilter(queue, type, owner, states).to_proto(), page_size=PAGE
        )
        async for page in self._connection.pages(self._connection.tasks.ListTasks, request):
            for task in page.tasks:
                yield TaskInfo.from_proto(task)

    def watch(
        self,
        *,
        task_ids: Sequence[str] = (),
        owner: str = "",
        queue: str = "",
        every_change: bool = False,
        cursor: str = "",
    ) -> Watch:
        """Yields tasks as they end (or with each change) and goes on after broken connections.

        Say exactly one of `task_ids` (it stops when all have ended), `owner` and `queue`. It
        begins now, or where an earlier watch's `cursor` was.
        """
        if (bool(task_ids), bool(owner), bool(queue)).count(True) != 1:
            raise InvalidFieldError("say exactly one of task_ids, owner and queue", field="owner")
        return Watch(
            self._connection,
            task_ids=task_ids,
            owner=owner,
            queue=queue,
            every_change=every_change,
            cursor=cursor,
        )

    # --- changing tasks

    async def cancel(self, *task_ids: str, skip_ended: bool = False) -> builtins.list[str]:
        """Cancels tasks, all or none, and returns which; running ones are told to stop.

        Raises TaskNotFoundError, and TaskEndedError unless `skip_ended`.
        """
        request = task_service_pb2.CancelTasksRequest(task_ids=task_ids, skip_ended=skip_ended)
        # Repeated without skip_ended it would find the tasks that it ended itself.
        call = self._connection.call if skip_ended else self._connection.call_once
        answer = await call(self._connection.tasks.CancelTasks, request)
        return builtins.list(answer.task_ids)

    async def cancel_all(self, filter: TaskFilter) -> int:
        """Cancels every task that matches and has not ended; returns how many."""
        count = 0
        while True:
            request = task_service_pb2.CancelTasksRequest(filter=filter.to_proto())
            answer = await self._connection.call(self._connection.tasks.CancelTasks, request)
            count += len(answer.task_ids)
            if not answer.more:
                return count

    async def retry(self, *task_ids: str) -> builtins.list[str]:
        """Puts FAILED or CANCELLED tasks back into their queues, all or none.

        Raises TaskNotFoundError, TaskNotRetryableError, QueueFullError, DiskFullError.
        """
        request = task_service_pb2.RetryTasksRequest(task_ids=task_ids)
        answer = await self._connection.call_once(self._connection.tasks.RetryTasks, request)
        return builtins.list(answer.task_ids)

    async def retry_all(self, filter: TaskFilter = ANY) -> int:
        """Puts back every FAILED task that matches, once; CANCELLED ones if `states` says so."""
        seen: set[str] = set()
        while True:
            request = task_service_pb2.RetryTasksRequest(filter=filter.to_proto())
            answer = await self._connection.call_once(self._connection.tasks.RetryTasks, request)
            # Those that fail again at once match again: a task seen before means that all were.
            again = not seen.isdisjoint(answer.task_ids)
            seen.update(answer.task_ids)
            if again or not answer.more:
                return len(seen)

    # --- nodes

    async def workers(
        self, *, queue: str = "", task_type: str = "", state: WorkerState | None = None
    ) -> builtins.list[WorkerInfo]:
        """Returns the workers' sessions by name; what is given must match."""
        request = registry_service_pb2.ListWorkersRequest(
            queue=queue, task_type=task_type, state=worker_state_number(state), page_size=PAGE
        )
        pages = self._connection.pages(self._connection.registry.ListWorkers, request)
        return [WorkerInfo.from_proto(worker) async for page in pages for worker in page.workers]

    async def members(self) -> builtins.list[MemberInfo]:
        """Returns the nodes of the cluster: masters first, then workers by name."""
        request = registry_service_pb2.ListMembersRequest(page_size=PAGE)
        pages = self._connection.pages(self._connection.registry.ListMembers, request)
        return [MemberInfo.from_proto(member) async for page in pages for member in page.members]

    async def watch_registry(self) -> AsyncGenerator[RegistryChange]:
        """Yields a snapshot of the members, then each change; after a break a snapshot again."""
        parts: builtins.list[MemberInfo] = []

        def open_stream() -> grpc.aio.UnaryStreamCall[Any, Event]:
            parts.clear()  # of a snapshot that broke off
            return self._connection.registry.WatchRegistry(
                registry_service_pb2.WatchRegistryRequest()
            )

        async for event in self._connection.resumed(open_stream, endless=True):
            change = RegistryChange.from_proto(event)
            if change.change is Change.SNAPSHOT:
                parts += change.members
                if event.snapshot.more:
                    continue
                change = RegistryChange(Change.SNAPSHOT, tuple(parts))
                parts.clear()
            yield change

    async def drain(self, worker: str) -> WorkerInfo:
        """Asks a worker, by session id or unique name, to finish and leave."""
        request = registry_service_pb2.DrainWorkerRequest(worker=worker)
        answer = await self._connection.call(self._connection.registry.DrainWorker, request)
        return WorkerInfo.from_proto(answer.worker)

    async def evict(self, worker: str) -> int:
        """Ends a worker's session at once; returns how many tasks went back to their queues."""
        request = registry_service_pb2.EvictWorkerRequest(worker=worker)
        answer = await self._connection.call_once(self._connection.registry.EvictWorker, request)
        return answer.requeued


def _address_of_settings() -> str:
    from pullwork.settings import ClientSettings, load

    return load(ClientSettings).address
