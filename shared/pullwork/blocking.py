"""The client for programs without asyncio: the same calls, each of which blocks.

The asynchronous client runs in a thread of its own; what stands here only carries calls over
to it and answers back, so the two can't come to differ.
"""

from __future__ import annotations

import builtins
from collections.abc import Generator, Iterable, Sequence
from types import TracebackType
from typing import Any, Concatenate, Final, Generic, Self, TypeVar, Unpack, overload

from pullwork import client as asynchronous
from pullwork import handle as asynchronous_handle
from pullwork import queues as asynchronous_queues
from pullwork import watch as asynchronous_watch
from pullwork.blocking_services import Services
from pullwork.client import ANY, DEADLINE_S, WINDOW
from pullwork.loop_thread import LoopThread
from pullwork.node_info import MemberInfo, RegistryChange, WorkerInfo, WorkerState
from pullwork.queue_info import LimitChanges, QueueInfo
from pullwork.submission import SharedOptions, SubmitOptions
from pullwork.task_info import Explanation, Progress, TaskFilter, TaskInfo, TaskState
from pullwork.tasks import Call, Task
from pullwork.window import Ended

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class Handle(Generic[R_co]):
    """A task of the master's, by its id; see `pullwork.Handle`."""

    def __init__(self, thread: LoopThread, handle: asynchronous_handle.Handle[R_co]) -> None:
        self.id = handle.id
        self.duplicate = handle.duplicate
        self._thread = thread
        self._handle = handle

    def __repr__(self) -> str:
        return repr(self._handle)

    def result(self, timeout: float | None = None) -> R_co:
        """Waits for the end and returns the result; raises as `pullwork.Handle.result`."""
        return self._thread.run(self._handle.result(timeout))

    def wait(self, timeout: float | None = None) -> TaskInfo:
        """Waits for the end and returns it, whichever it is."""
        return self._thread.run(self._handle.wait(timeout))

    def done(self) -> bool:
        """Tells whether the end has been heard of; asks nobody."""
        return self._handle.done()

    def status(self) -> TaskInfo:
        """Returns the task as the master sees it now."""
        return self._thread.run(self._handle.status())

    def progress(self) -> Progress | None:
        """Returns what the running attempt last said of itself."""
        return self._thread.run(self._handle.progress())

    def explain(self) -> Explanation:
        """Returns why the task is where it is."""
        return self._thread.run(self._handle.explain())

    def cancel(self) -> None:
        """Cancels the task, also if it runs; raises TaskEndedError if it has ended."""
        self._thread.run(self._handle.cancel())


class Watch:
    """Yields tasks as they end, or as they change; see `pullwork.Watch`."""

    def __init__(self, thread: LoopThread, watch: asynchronous_watch.Watch) -> None:
        self._thread = thread
        self._watch = watch
        self._items = thread.iterate(watch)

    @property
    def cursor(self) -> str:
        """Where to resume in another process."""
        return self._watch.cursor

    @property
    def lapsed(self) -> bool:
        """True once retention deleted ends before they could be told."""
        return self._watch.lapsed

    @property
    def unknown_task_ids(self) -> tuple[str, ...]:
        """Those of the ids asked for that do not exist."""
        return self._watch.unknown_task_ids

    def open(self) -> Watch:
        """Returns when the report stands: nothing from now on is missed."""
        self._thread.run(self._watch.open())
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> TaskInfo:
        return next(self._items)

    def close(self) -> None:
        """Ends the report."""
        self._thread.run(self._watch.aclose())


class Queues:
    """The queues of a master; see `pullwork.Queues`."""

    def __init__(self, thread: LoopThread, queues: asynchronous_queues.Queues) -> None:
        self._thread = thread
        self._queues = queues

    def list(self) -> builtins.list[QueueInfo]:
        """Returns all queues by name."""
        return self._thread.run(self._queues.list())

    def get(self, name: str) -> QueueInfo:
        """Returns one queue as it is now."""
        return self._thread.run(self._queues.get(name))

    def pause(self, name: str) -> QueueInfo:
        """Stops grants from a queue; running tasks go on, submissions are taken."""
        return self._thread.run(self._queues.pause(name))

    def resume(self, name: str) -> QueueInfo:
        """Lets grants go on."""
        return self._thread.run(self._queues.resume(name))

    def set_limits(
        self, name: str, *, clear: bool = False, **changes: Unpack[LimitChanges]
    ) -> QueueInfo:
        """Changes limits of a queue; what is not named stays, or with `clear` is taken away."""
        return self._thread.run(self._queues.set_limits(name, clear=clear, **changes))

    def purge(self, name: str) -> int:
        """Cancels every task that waits in a queue and returns how many; running ones go on."""
        return self._thread.run(self._queues.purge(name))


class Client:
    """A connection to a master; use it as `with Client(...) as client`.

    Every method does what the one of that name of `pullwork.Client` does, and blocks; what is
    iterated asynchronously there is a plain iterator here.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        owner: str | None = None,
        deadline: float = DEADLINE_S,
    ) -> None:
        self._client = asynchronous.Client(address, owner=owner, deadline=deadline)
        self._thread = LoopThread()
        self.address: Final = self._client.address
        self.owner: Final = self._client.owner
        self.queues: Final = Queues(self._thread, self._client.queues)
        self.services: Final = Services(self._thread, self._client.services)

    def __enter__(self) -> Self:
        self._thread.start()
        self._thread.run(self._client.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.run(self._client.__aexit__(kind, error, traceback))
        self._thread.stop()

    def submit(self, call: Call[R], **options: Unpack[SubmitOptions]) -> Handle[R]:
        """Submits a call; when it returns, the task is on the master's disk."""
        return Handle(self._thread, self._thread.run(self._client.submit(call, **options)))

    def submit_raw(
        self,
        type: str,
        payload: bytes,
        content_type: str = "",
        **options: Unpack[SubmitOptions],
    ) -> Handle[Any]:
        """Submits a task of a type whose function is not at hand."""
        work = self._client.submit_raw(type, payload, content_type, **options)
        return Handle(self._thread, self._thread.run(work))

    def submit_many(
        self, calls: Iterable[Call[R]], **options: Unpack[SharedOptions]
    ) -> builtins.list[Handle[R]]:
        """Submits calls in their order: up to 1000 (3 MiB) all or none, more in such parts."""
        handles = self._thread.run(self._client.submit_many(builtins.list(calls), **options))
        return [Handle(self._thread, handle) for handle in handles]

    def run(self, call: Call[R], **options: Unpack[SubmitOptions]) -> R:
        """Submits a call and waits for its result."""
        return self._thread.run(self._client.run(call, **options))

    def map(
        self,
        task: Task[Concatenate[T, ...], R],
        items: Iterable[T],
        *,
        window: int = WINDOW,
        ordered: bool = False,
        **options: Unpack[SharedOptions],
    ) -> Generator[Ended[T, R]]:
        """Runs a task with each item as its first argument, and yields each call as it ends."""
        return self._thread.iterate(
            self._client.map(task, items, window=window, ordered=ordered, **options)
        )

    def map_calls(
        self,
        calls: Iterable[Call[R]],
        *,
        window: int = WINDOW,
        ordered: bool = False,
        **options: Unpack[SharedOptions],
    ) -> Generator[Ended[Call[R], R]]:
        """Does what `map` does for calls of any tasks and arguments."""
        return self._thread.iterate(
            self._client.map_calls(calls, window=window, ordered=ordered, **options)
        )

    @overload
    def handle(self, task_id: str, task: None = None) -> Handle[Any]: ...
    @overload
    def handle(self, task_id: str, task: Task[..., R]) -> Handle[R]: ...
    def handle(self, task_id: str, task: Task[..., Any] | None = None) -> Handle[Any]:
        """Takes hold of a task by its id, also of one that another process submitted."""
        found: asynchronous_handle.Handle[Any] = (
            self._client.handle(task_id) if task is None else self._client.handle(task_id, task)
        )
        return Handle(self._thread, found)

    def get(self, task_id: str) -> TaskInfo:
        """Returns a task, whole, as it is now; raises TaskNotFoundError."""
        return self._thread.run(self._client.get(task_id))

    def explain(self, task_id: str) -> Explanation:
        """Returns in one sentence why a task is where it is."""
        return self._thread.run(self._client.explain(task_id))

    def list(
        self,
        *,
        queue: str = "",
        type: str = "",
        owner: str = "",
        states: Sequence[TaskState] = (),
    ) -> Generator[TaskInfo]:
        """Yields tasks, newest first, without payloads and results; what is given must match."""
        return self._thread.iterate(
            self._client.list(queue=queue, type=type, owner=owner, states=states)
        )

    def watch(
        self,
        *,
        task_ids: Sequence[str] = (),
        owner: str = "",
        queue: str = "",
        every_change: bool = False,
        cursor: str = "",
    ) -> Watch:
        """Yields tasks as they end (or with each change) and goes on after broken connections."""
        watch = self._client.watch(
            task_ids=task_ids, owner=owner, queue=queue, every_change=every_change, cursor=cursor
        )
        return Watch(self._thread, watch)

    def cancel(self, *task_ids: str, skip_ended: bool = False) -> builtins.list[str]:
        """Cancels tasks, all or none, and returns which; running ones are told to stop."""
        return self._thread.run(self._client.cancel(*task_ids, skip_ended=skip_ended))

    def cancel_all(self, filter: TaskFilter) -> int:
        """Cancels every task that matches and has not ended; returns how many."""
        return self._thread.run(self._client.cancel_all(filter))

    def retry(self, *task_ids: str) -> builtins.list[str]:
        """Puts FAILED or CANCELLED tasks back into their queues, all or none."""
        return self._thread.run(self._client.retry(*task_ids))

    def retry_all(self, filter: TaskFilter = ANY) -> int:
        """Puts back every FAILED task that matches, once."""
        return self._thread.run(self._client.retry_all(filter))

    def workers(
        self, *, queue: str = "", task_type: str = "", state: WorkerState | None = None
    ) -> builtins.list[WorkerInfo]:
        """Returns the workers' sessions by name; what is given must match."""
        work = self._client.workers(queue=queue, task_type=task_type, state=state)
        return self._thread.run(work)

    def members(self) -> builtins.list[MemberInfo]:
        """Returns the nodes of the cluster: masters first, then workers by name."""
        return self._thread.run(self._client.members())

    def watch_registry(self) -> Generator[RegistryChange]:
        """Yields a snapshot of the members, then each change."""
        return self._thread.iterate(self._client.watch_registry())

    def drain(self, worker: str) -> WorkerInfo:
        """Asks a worker, by session id or unique name, to finish and leave."""
        return self._thread.run(self._client.drain(worker))

    def evict(self, worker: str) -> int:
        """Ends a worker's session at once; returns how many tasks went back to their queues."""
        return self._thread.run(self._client.evict(worker))
