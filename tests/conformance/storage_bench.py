"""What the laws of storage are tried on: an engine, its restarts, and tasks to put into it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from pullwork_master.core.commands import Filter
from pullwork_master.core.effects import Found, PageWanted, Search, Wants, Writes
from pullwork_master.core.flows import flow_of
from pullwork_master.core.model import Queue, Spec, State, Task
from pullwork_master.storage.base import Reader, Storage, store

# That of a task of nobody.
FLOW = flow_of("", "")
# Before all that a flow may hold.
FIRST = (-1_000, 0)


class Bench:
    """An open storage that can be restarted, with short words for what tests do to it."""

    def __init__(self, make: Callable[[], Storage]) -> None:
        self._make = make
        self._readers: list[Reader] = []
        self.storage = make()
        self.opened = self.storage.open()

    def restart(self) -> None:
        """Closes it as at a clean stop, and opens it again."""
        self.close()
        self.storage = self._make()
        self.opened = self.storage.open()

    def reader(self) -> Reader:
        """Opens a view that is closed with the bench."""
        reader = self.storage.reader()
        self._readers.append(reader)
        return reader

    def insert(self, *tasks: Task) -> None:
        """Commits new tasks."""
        store(self.storage, Writes(inserted={task.seq: task for task in tasks}))

    def update(self, *tasks: Task) -> None:
        """Commits changed tasks."""
        store(self.storage, Writes(updated={task.seq: task for task in tasks}))

    def sweep(self, before_ms: int, limit: int = 100) -> int:
        """Commits a sweep."""
        return store(self.storage, Writes(sweep_before_ms=before_ms, sweep_tasks=limit))

    def by_seq(self, *seqs: int) -> list[Task]:
        """Finds tasks whole, in order of `seq`."""
        found = self.storage.find(Wants(seqs=list(seqs))).tasks
        return sorted(found, key=lambda task: task.seq)

    def search(self, filter: Filter, limit: int = 100, before_seq: int = 0) -> list[int]:
        """Finds by filter; returns the seqs in the order found."""
        wanted = Search(filter, limit, before_seq)
        return seqs(self.storage.find(Wants(searches=[wanted])).searches[0])

    def page(self, after: tuple[int, int], limit: int = 100) -> list[int]:
        """Pages a flow of the line (default, t); returns the seqs in the order found."""
        wanted = page_wanted(after=after, limit=limit)
        return seqs(self.storage.find(Wants(pages=[wanted])).pages[0].tasks)

    def close(self) -> None:
        """Closes views and storage."""
        for reader in self._readers:
            reader.close()
        self._readers.clear()
        self.storage.close()


def a_task(seq: int, state: State = State.QUEUED, **fields: Any) -> Task:
    """Makes a task; fields of its spec go there."""
    names = set(Spec._fields) - {"digest"}
    spec = {name: fields.pop(name) for name in names & fields.keys()}
    spec.setdefault("id", id_of(seq))
    spec.setdefault("queue", "default")
    spec.setdefault("type", "t")
    spec.setdefault("flow", flow_of(spec.get("owner", ""), spec.get("limit_key", "")))
    return Task(seq, Spec(**spec), state, 1_000 + seq, **fields)


def ended(seq: int, revision: int, state: State = State.SUCCEEDED, **fields: Any) -> Task:
    """Makes a task that has ended."""
    return a_task(seq, state, revision=revision, **fields)


def id_of(seq: int) -> str:
    """The same id for the same seq."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(seq)))


def plain(task: Task) -> dict[str, Any]:
    """Gives all that storage keeps of a task, to compare: tasks compare by identity."""
    return asdict(replace(task, lease=None))


def plain_all(tasks: list[Task]) -> list[dict[str, Any]]:
    """The same of several, in their order."""
    return [plain(task) for task in tasks]


def plain_found(found: Found) -> dict[str, Any]:
    """All of an answer; `tasks` has no order of its own."""
    facts = asdict(found)
    facts["tasks"] = sorted(facts["tasks"], key=lambda task: task["seq"])
    return facts


def seqs(tasks: list[Task]) -> list[int]:
    """Their seqs, in their order."""
    return [task.seq for task in tasks]


def page_wanted(
    type: str = "t",
    flow: int = FLOW,
    after: tuple[int, int] = FIRST,
    limit: int = 5,
    bytes_max: int = 1_000_000,
) -> PageWanted:
    """Asks for a page of a line of the queue `default`."""
    return PageWanted("default", type, flow, after, limit, bytes_max)


def a_queue(name: str, **fields: Any) -> Queue:
    """Makes a queue."""
    return Queue(name, fields.pop("created_ms", 7), **fields)
