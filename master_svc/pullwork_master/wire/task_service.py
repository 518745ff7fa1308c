"""TaskService: what clients call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc.aio

from pullwork.v1 import task_pb2, task_service_pb2_grpc
from pullwork.v1 import task_service_pb2 as pb
from pullwork_master.core import limits
from pullwork_master.core.commands import Cancel, Chosen, Explain, Filter, Receipt, Retry
from pullwork_master.core.explain import Explanation
from pullwork_master.core.limits import Policy
from pullwork_master.core.model import State
from pullwork_master.core.rejections import Reason, Rejection
from pullwork_master.engine import Engine
from pullwork_master.views import Views
from pullwork_master.wire import convert, fields, pages, specs
from pullwork_master.wire.instance_words import explained
from pullwork_master.wire.watch import watch
from pullwork_master.wire.watchers import Watcher, Watchers

Context = grpc.aio.ServicerContext[Any, Any]

CANCELLABLE = (State.SCHEDULED, State.QUEUED, State.RUNNING)
RETRYABLE = (State.FAILED, State.CANCELLED)
# Tag and length of one entry of a list, at most: clients count the tasks themselves.
ENTRY_BYTES = 5
# Beyond every key that a disk holds.
SEQ_END = 2**63


class TaskService(task_service_pb2_grpc.TaskServiceServicer):
    """Translates between clients, the engine and the disk."""

    def __init__(self, engine: Engine, policy: Policy, disk: Views, watchers: Watchers) -> None:
        self._engine = engine
        self._policy = policy
        self._disk = disk
        self._watchers = watchers

    async def SubmitTasks(
        self, request: pb.SubmitTasksRequest, context: Context
    ) -> pb.SubmitTasksResponse:
        """Stores tasks, all or none."""
        fields.count(len(request.tasks), "tasks", 1, limits.SUBMIT_TASKS_MAX)
        size = request.ByteSize() - len(request.tasks) * ENTRY_BYTES
        if size > limits.SUBMIT_BYTES_MAX:
            fields.refuse(
                "tasks",
                f"have {size} bytes in all; at most {limits.SUBMIT_BYTES_MAX} are taken: "
                "submit them in several calls",
            )
        command = specs.submission(request.tasks, self._policy, "tasks")
        receipts: tuple[Receipt, ...] = await self._engine.ask(command)
        return pb.SubmitTasksResponse(
            receipts=[pb.Receipt(task_id=task_id, duplicate=dup) for task_id, dup in receipts]
        )

    async def RunTask(self, request: pb.RunTaskRequest, context: Context) -> pb.RunTaskResponse:
        """Submits a task, or finds it, and waits for its end."""
        if not request.HasField("task"):
            fields.refuse("task", "is required")
        command = specs.submission([request.task], self._policy, "task")
        task_id = command.tasks[0].spec.id
        watcher = self._watchers.add(Watcher(task_ids=[task_id]))
        try:
            (receipt,) = await self._engine.ask(command)
            if receipt.task_id != task_id:
                self._watchers.remove(watcher)
                watcher = self._watchers.add(Watcher(task_ids=[receipt.task_id]))
            if receipt.duplicate:
                kept = await self._disk.get(receipt.task_id)
                if kept is not None and kept.state.ended:
                    return pb.RunTaskResponse(task=convert.task(kept))
                if kept is None and not watcher.has_mail:
                    # Retention deleted it since: its end can't be told any more.
                    raise _not_found(receipt.task_id)
            ended = await watcher.take()
            return pb.RunTaskResponse(task=ended[-1])
        finally:
            self._watchers.remove(watcher)

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> pb.GetTaskResponse:
        """Shows one task, whole."""
        task_id = fields.task_id(request.task_id, "task_id")
        kept = await self._disk.get(task_id)
        if kept is None:
            raise _not_found(task_id)
        shown = convert.task(kept, payload=True)
        return pb.GetTaskResponse(task=convert.with_progress(shown, self._engine.core.book))

    async def ListTasks(
        self, request: pb.ListTasksRequest, context: Context
    ) -> pb.ListTasksResponse:
        """Shows a page of tasks, newest first."""
        chosen = _filter(request.filter, "filter")
        size = pages.size(request.page_size)
        before_seq = _seq(pages.place(request.page_token, "ListTasks", chosen))
        found = await self._disk.list(chosen, before_seq, size + 1)
        book = self._engine.core.book
        shown = pages.fit(
            convert.with_progress(convert.task(kept, result=False), book) for kept in found[:size]
        )
        token = ""
        if len(found) > len(shown):
            token = pages.token(str(found[len(shown) - 1].seq), "ListTasks", chosen)
        return pb.ListTasksResponse(tasks=shown, next_page_token=token)

    async def WatchTasks(
        self, request: pb.WatchTasksRequest, context: Context
    ) -> AsyncIterator[pb.WatchTasksResponse]:
        """Streams what becomes of tasks."""
        if [bool(request.task_ids), bool(request.owner), bool(request.queue)].count(True) != 1:
            fields.refuse("task_ids", "or owner or queue must be set, exactly one of them")
        fields.count(len(request.task_ids), "task_ids", 0, limits.IDS_MAX)
        watcher = Watcher(
            task_ids=fields.task_ids(request.task_ids, "task_ids"),
            owner=fields.text(request.owner, "owner", limits.NAME_CHARS_MAX),
            queue=fields.name(request.queue, "queue") if request.queue else "",
            every_change=request.every_change,
        )
        revision = self._read_cursor(request.cursor)
        self._watchers.add(watcher)
        try:
            async for message in watch(
                watcher, self._watchers, self._disk, self._engine.store_id, revision
            ):
                yield message
        finally:
            self._watchers.remove(watcher)

    def _read_cursor(self, cursor: str) -> int | None:
        if not cursor:
            return None
        store, _, revision = cursor.rpartition("-")
        if not revision.isdecimal() or len(revision) > 18:
            fields.refuse(
                "cursor", f"is {cursor[:64]!r}, which is no cursor of WatchTasks; start without one"
            )
        if store != self._engine.store_id:
            fields.refuse("cursor", "is of another master's data folder; start without one")
        if int(revision) > self._watchers.revision:
            fields.refuse("cursor", "lies in the future of this data folder; start without one")
        return int(revision)

    async def CancelTasks(
        self, request: pb.CancelTasksRequest, context: Context
    ) -> pb.CancelTasksResponse:
        """Ends tasks that wait or run."""
        by_filter = request.HasField("filter")
        command = Cancel(
            task_ids=_ids(request.task_ids, by_filter=by_filter),
            filter=_chosen(request.filter, CANCELLABLE) if by_filter else None,
            skip_ended=request.skip_ended,
        )
        chosen: Chosen = await self._engine.ask(command)
        return pb.CancelTasksResponse(task_ids=chosen.task_ids, more=chosen.more)

    async def RetryTasks(
        self, request: pb.RetryTasksRequest, context: Context
    ) -> pb.RetryTasksResponse:
        """Puts ended tasks back into their queues."""
        by_filter = request.HasField("filter")
        command = Retry(
            task_ids=_ids(request.task_ids, by_filter=by_filter),
            filter=_chosen(request.filter, RETRYABLE) if by_filter else None,
        )
        chosen: Chosen = await self._engine.ask(command)
        return pb.RetryTasksResponse(task_ids=chosen.task_ids, more=chosen.more)

    async def ExplainTask(
        self, request: pb.ExplainTaskRequest, context: Context
    ) -> pb.ExplainTaskResponse:
        """Says why a task is where it is."""
        task_id = fields.task_id(request.task_id, "task_id")
        told: Explanation = await self._engine.ask(Explain(task_id))
        shown = convert.task(told.task, result=False)
        return pb.ExplainTaskResponse(
            sentence=explained(told),
            reason=int(told.why),  # type: ignore[arg-type]
            task=convert.with_progress(shown, self._engine.core.book),
            ahead=told.ahead,
        )


def _not_found(task_id: str) -> Rejection:
    return Rejection(
        Reason.TASK_NOT_FOUND,
        f"no task has the id {task_id}; perhaps its retention ended",
        task_id=task_id,
    )


def _ids(listed: Sequence[str], *, by_filter: bool) -> tuple[str, ...]:
    if by_filter == bool(listed):
        fields.refuse("task_ids", "or filter must be set, exactly one of them")
    fields.count(len(listed), "task_ids", 0, limits.IDS_MAX)
    return fields.task_ids(listed, "task_ids")


def _filter(
    shown: task_pb2.TaskFilter, where: str, possible: tuple[State, ...] = tuple(State)
) -> Filter:
    for state in shown.states:
        if int(state) not in possible:
            names = ", ".join(each.name for each in possible)
            fields.refuse(f"{where}.states", f"holds {state}; here it may hold {names}")
    return Filter(
        queue=fields.name(shown.queue, f"{where}.queue") if shown.queue else "",
        type=fields.name(shown.type, f"{where}.type") if shown.type else "",
        owner=fields.text(shown.owner, f"{where}.owner", limits.NAME_CHARS_MAX),
        states=tuple(sorted({State(state) for state in shown.states})),
    )


def _chosen(shown: task_pb2.TaskFilter, possible: tuple[State, ...]) -> Filter:
    """Takes a filter for what is to be changed, which instances of services never are by it."""
    if shown.queue:
        fields.own_queue(shown.queue, "filter.queue")
    return _filter(shown, "filter", possible)


def _seq(place: str) -> int:
    """Returns the key that a page ends before; 0: it begins with the newest."""
    if not place:
        return 0
    if not (place.isascii() and place.isdecimal() and 0 < int(place[:20]) < SEQ_END):
        pages.stranger("ListTasks")
    return int(place)
