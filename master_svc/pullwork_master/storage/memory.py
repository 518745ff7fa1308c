"""Keeps tasks in memory, for tests and the simulator: the same meaning as a disk, without one.

What is stored are copies, and what is shown are copies of those: the core goes on changing
its own objects. Opening it again stands for a restart after the process died.
"""

from __future__ import annotations

import builtins
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from heapq import nlargest, nsmallest
from itertools import chain
from operator import attrgetter
from uuid import uuid4

from pullwork_master.core.commands import Filter
from pullwork_master.core.effects import (
    FlowCount,
    Found,
    Opened,
    Page,
    PageWanted,
    ScheduledCount,
    SchedulePageWanted,
    Search,
    Wants,
    Writes,
)
from pullwork_master.core.model import Queue, ServiceRow, State, Task
from pullwork_master.core.window import weigh
from pullwork_master.storage.base import EndsPage, StorageError, StorageFullError

_BY_SEQ = attrgetter("seq")
_BY_KEY = attrgetter("key")


def _by_ready(task: Task) -> tuple[int, int]:
    return (task.ready_ms, task.seq)


def _snapshot(task: Task) -> Task:
    return replace(task, lease=None)


def _outline(task: Task, *, result: bool) -> Task:
    """Copies a task without what is heavy, as lists show it."""
    return replace(
        task,
        spec=task.spec._replace(payload=b""),
        checkpoint=b"",
        result=task.result if result else None,
    )


def _flow(task: Task) -> tuple[str, str, int]:
    return (*task.line, task.spec.flow)


def _cut(tasks: list[Task], limit: int, bytes_max: int) -> Page:
    """Makes a page of the first of them, one at least, within both bounds."""
    shown: list[Task] = []
    size = 0
    for task in tasks[:limit]:
        size += weigh(task)
        if shown and size > bytes_max:
            break
        shown.append(_snapshot(task))
    return Page(shown, len(shown) < len(tasks))


class MemoryStorage:
    """A `Storage` that holds at most `tasks_max` tasks (None: any number)."""

    def __init__(self, tasks_max: int | None = None, store_id: str | None = None) -> None:
        self.tasks_max = tasks_max
        self.lock = threading.Lock()
        self.tasks: dict[int, Task] = {}
        self.by_id: dict[str, Task] = {}
        self.swept_queues: dict[str, int] = {}
        self.swept_owners: dict[str, int] = {}
        self.swept_any = 0
        self.revision = 0
        self._queued: defaultdict[tuple[str, str, int], set[int]] = defaultdict(set)
        self._by_unique: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
        self._queues: dict[str, Queue] = {}
        self._services: dict[str, ServiceRow] = {}
        self._service_revision = 0
        self._store_id = store_id or str(uuid4())
        self._term = 0
        self._seq = 0
        self._staged = Writes()

    def open(self) -> Opened:
        """Begins a new term and returns what a start needs."""
        self._term += 1
        return self.reload()

    def reload(self) -> Opened:
        """Returns what is stored now, in the same term."""
        with self.lock:
            scheduled = Counter(task.line for task in self._in_state(State.SCHEDULED))
            queued = [(flow, seqs) for flow, seqs in sorted(self._queued.items()) if seqs]
            return Opened(
                term=self._term,
                store_id=self._store_id,
                cluster_id=self._store_id,
                next_seq=self._seq + 1,
                next_revision=self.revision + 1,
                queues=[replace(self._queues[name]) for name in sorted(self._queues)],
                queued=[
                    FlowCount(*flow, len(seqs), max(self.tasks[seq].spec.priority for seq in seqs))
                    for flow, seqs in queued
                ],
                scheduled=[ScheduledCount(*line, scheduled[line]) for line in sorted(scheduled)],
                running=[_snapshot(task) for task in self._in_state(State.RUNNING)],
                services=[self._services[name] for name in sorted(self._services)],
                next_service_revision=self._service_revision + 1,
            )

    def stage(self, writes: Writes) -> None:
        """Keeps it for `commit`, or raises."""
        with self.lock:
            self._refuse_what_does_not_fit(writes)
        self._staged = writes

    def commit(self) -> int:
        """Stores what was staged; returns how many tasks it swept."""
        writes, self._staged = self._staged, Writes()
        with self.lock:
            for task in writes.inserted.values():
                self._seq = max(self._seq, task.seq)
                self._put(_snapshot(task))
            for task in writes.updated.values():
                self.revision = max(self.revision, task.revision)
                if task.seq in self.tasks:
                    self._put(_snapshot(task))
            for name, queue in writes.queues.items():
                self._queues.pop(name, None)
                if queue is not None:
                    self._queues[name] = replace(queue)
            for name, row in writes.services.items():
                self._services.pop(name, None)
                if row is not None:
                    self._services[name] = row
            self._service_revision = max(self._service_revision, writes.service_revision)
            return self._sweep(writes.sweep_before_ms, writes.sweep_tasks)

    def find(self, wants: Wants) -> Found:
        """Shows copies of committed tasks."""
        with self.lock:
            seqs = {self.by_id[id_].seq: None for id_ in wants.ids if id_ in self.by_id}
            seqs |= {seq: None for seq in wants.seqs if seq in self.tasks}
            for key in wants.unique_keys:
                seqs |= dict.fromkeys(sorted(self._by_unique.get(key, ())))
            return Found(
                known={
                    id_: self.by_id[id_].spec.digest for id_ in wants.known_ids if id_ in self.by_id
                },
                tasks=[_snapshot(self.tasks[seq]) for seq in seqs],
                searches=[self._search(search) for search in wants.searches],
                pages=[self._page(page) for page in wants.pages],
                schedule_page=self._schedule_page(wants.schedule_page),
            )

    def reader(self) -> MemoryReader:
        """Opens a view of what is committed at each call."""
        return MemoryReader(self)

    def free_bytes(self) -> int | None:
        """Returns None: nothing is known of the room."""
        return None

    def close(self) -> None:
        """Keeps everything, for the next start."""

    def _refuse_what_does_not_fit(self, writes: Writes) -> None:
        room = self.tasks_max
        if room is not None and len(self.tasks) + len(writes.inserted) > room:
            raise StorageFullError(f"the memory storage holds {room} tasks at most")
        ids = [task.spec.id for task in writes.inserted.values()]
        if (
            len(set(ids)) < len(ids)
            or any(id_ in self.by_id for id_ in ids)
            or any(task.seq in self.tasks for task in writes.inserted.values())
        ):
            raise StorageError("a task with this id or seq is stored already")

    def _put(self, task: Task) -> None:
        old = self.tasks.get(task.seq)
        if old is not None:
            self._drop(old)
        self.tasks[task.seq] = self.by_id[task.spec.id] = task
        self.revision = max(self.revision, task.revision)
        if task.state is State.QUEUED:
            self._queued[_flow(task)].add(task.seq)
        if task.spec.unique_key and not task.state.ended:
            self._by_unique[task.spec.queue, task.spec.unique_key].add(task.seq)

    def _drop(self, task: Task) -> None:
        del self.tasks[task.seq], self.by_id[task.spec.id]
        self._queued[_flow(task)].discard(task.seq)
        if task.spec.unique_key:
            self._by_unique[task.spec.queue, task.spec.unique_key].discard(task.seq)

    def in_lines(self, queue: str, types: Iterable[str]) -> list[Task]:
        """Returns what is QUEUED in these lines, the oldest first."""
        lines = {(queue, type) for type in types}
        found = (seqs for (*line, _), seqs in self._queued.items() if tuple(line) in lines)
        return [self.tasks[seq] for seq in sorted(chain.from_iterable(found))]

    def _sweep(self, before_ms: int, limit: int) -> int:
        if not before_ms:
            return 0
        due = (t for t in self.tasks.values() if t.state.ended and 0 < t.expires_ms <= before_ms)
        swept = nsmallest(limit, due, key=lambda task: (task.expires_ms, task.seq))
        for task in swept:
            self._drop(task)
            spec, revision = task.spec, task.revision
            self.swept_any = max(self.swept_any, revision)
            self.swept_queues[spec.queue] = max(self.swept_queues.get(spec.queue, 0), revision)
            self.swept_owners[spec.owner] = max(self.swept_owners.get(spec.owner, 0), revision)
        return len(swept)

    def _in_state(self, state: State) -> list[Task]:
        return sorted((t for t in self.tasks.values() if t.state is state), key=_BY_SEQ)

    def _search(self, search: Search) -> list[Task]:
        before = search.before_seq
        matching = (
            task
            for task in self.tasks.values()
            if (not before or task.seq < before) and search.filter.matches(task)
        )
        return [_snapshot(task) for task in nsmallest(search.limit, matching, key=_BY_SEQ)]

    def _page(self, page: PageWanted) -> Page:
        seqs = self._queued.get((page.queue, page.type, page.flow), ())
        rest = (self.tasks[seq] for seq in seqs if self.tasks[seq].key > page.after)
        return _cut(nsmallest(page.limit + 1, rest, key=_BY_KEY), page.limit, page.bytes_max)

    def _schedule_page(self, page: SchedulePageWanted | None) -> Page | None:
        if page is None:
            return None
        waiting = self._in_state(State.SCHEDULED)
        rest = (task for task in waiting if _by_ready(task) > page.after)
        return _cut(nsmallest(page.limit + 1, rest, key=_by_ready), page.limit, page.bytes_max)


class MemoryReader:
    """A `Reader` of a `MemoryStorage`."""

    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage

    def get(self, task_id: str) -> Task | None:
        """Returns one task whole."""
        with self._storage.lock:
            task = self._storage.by_id.get(task_id)
            return _snapshot(task) if task is not None else None

    def get_many(self, task_ids: Iterable[str]) -> builtins.list[Task]:
        """Returns those that exist, without payloads."""
        with self._storage.lock:
            known = self._storage.by_id
            return [_outline(known[i], result=True) for i in dict.fromkeys(task_ids) if i in known]

    def list(self, filter: Filter, before_seq: int, limit: int) -> builtins.list[Task]:
        """Returns newest first, without payload and result."""
        with self._storage.lock:
            matching = (
                task
                for task in self._storage.tasks.values()
                if (not before_seq or task.seq < before_seq) and filter.matches(task)
            )
            return [_outline(t, result=False) for t in nlargest(limit, matching, key=_BY_SEQ)]

    def ends_after(self, revision: int, owner: str, queue: str, limit: int) -> EndsPage:
        """Returns ends in order of revision, without payloads."""
        chosen = Filter(queue=queue, owner=owner)
        with self._storage.lock:
            later = (
                task
                for task in self._storage.tasks.values()
                if task.revision > revision and chosen.matches(task)
            )
            found = nsmallest(limit + 1, later, key=attrgetter("revision"))
            more = len(found) > limit
            page = [_outline(task, result=True) for task in found[:limit]]
            upto = page[-1].revision if more else max(revision, self._storage.revision)
            return EndsPage(page, upto, more)

    def swept_revision(self, owner: str, queue: str) -> int:
        """Returns the highest revision that was swept of this owner or queue."""
        with self._storage.lock:
            if owner and queue:
                swept = self._storage
                return min(swept.swept_owners.get(owner, 0), swept.swept_queues.get(queue, 0))
            if owner:
                return self._storage.swept_owners.get(owner, 0)
            if queue:
                return self._storage.swept_queues.get(queue, 0)
            return self._storage.swept_any

    def waiting_since(self, queue: str, types: Iterable[str]) -> int:
        """Returns since when the next task of these lines waits that waits longest; 0: none."""
        heads: dict[tuple[str, int, int], Task] = {}
        with self._storage.lock:
            for task in self._storage.in_lines(queue, types):
                heads.setdefault((task.spec.type, task.spec.flow, task.spec.priority), task)
            return min((max(t.created_ms, t.ready_ms) for t in heads.values()), default=0)

    def live(self, prefix: str) -> builtins.list[Task]:
        """Returns whole what has not ended, of queues whose names begin so."""
        with self._storage.lock:
            found = (
                task
                for task in self._storage.tasks.values()
                if not task.state.ended and task.spec.queue.startswith(prefix)
            )
            return [_snapshot(task) for task in sorted(found, key=_BY_SEQ)]

    def last_revision(self) -> int:
        """Returns the revision of the last committed end, also if it was swept or retried since."""
        with self._storage.lock:
            return self._storage.revision

    def close(self) -> None:
        """Releases nothing."""
