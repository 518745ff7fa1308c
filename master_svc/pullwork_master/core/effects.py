"""What a step asks of the outside: writes to commit, then answers and news to tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from pullwork_master.core.commands import Filter
from pullwork_master.core.model import AttemptEnd, Queue, ServiceRow, Session, State, Task
from pullwork_master.core.rejections import Rejection
from pullwork_master.core.transitions import Event


@dataclass(slots=True)
class Writes:
    """One transaction: what storage must hold before anybody hears of it.

    Tasks are the core's own objects, not copies: storage reads them while the core rests.
    """

    inserted: dict[int, Task] = field(default_factory=dict)
    updated: dict[int, Task] = field(default_factory=dict)
    # None: it is gone.
    queues: dict[str, Queue | None] = field(default_factory=dict)
    services: dict[str, ServiceRow | None] = field(default_factory=dict)
    # The last revision of a service that was given out; 0: none was.
    service_revision: int = 0
    # Delete up to `sweep_tasks` ended tasks whose `expires_ms` is not after this; 0: none.
    sweep_before_ms: int = 0
    sweep_tasks: int = 0

    def __bool__(self) -> bool:
        return bool(
            self.inserted or self.updated or self.queues or self.services or self.sweep_before_ms
        )


class Available(NamedTuple):
    """News for a worker: tasks of these types wait."""

    types: tuple[str, ...]


class Revoked(NamedTuple):
    """News for a worker: these leases are worth nothing any more."""

    tokens: tuple[str, ...]
    reason: str


class DrainAsked(NamedTuple):
    """News for a worker: take no more work."""


class SessionEnded(NamedTuple):
    """The session is over: its stream is to be closed."""

    reason: str


News = Available | Revoked | DrainAsked | SessionEnded


class Move(NamedTuple):
    """One change of a task's state; a step may have several of one task."""

    task: Task
    event: Event
    before: State
    # The attempt that the event begins or ends, who has it, and when it began.
    attempt: int
    worker: str
    started_ms: int
    # Of a grant: since when the task waited. Wall clock.
    waited_since_ms: int
    # How the attempt ended, where the event ends one.
    end: AttemptEnd | None


class MemberChange(NamedTuple):
    """A worker came or went."""

    session: Session
    joined: bool


@dataclass(slots=True)
class Effects:
    """All that one step asks for, in the order in which it must be told."""

    writes: Writes = field(default_factory=Writes)
    answers: list[tuple[int, object]] = field(default_factory=list)
    refusals: list[tuple[int, Rejection]] = field(default_factory=list)
    news: list[tuple[str, News]] = field(default_factory=list)
    # Tasks whose state changed, by seq, in the order of their first change in this step.
    changed: dict[int, Task] = field(default_factory=dict)
    members: list[MemberChange] = field(default_factory=list)
    # In their order, if the policy has them told.
    moves: list[Move] = field(default_factory=list)
    # Lines for the operator's log: event name and facts.
    notes: list[tuple[str, dict[str, object]]] = field(default_factory=list)


class PageWanted(NamedTuple):
    """The next tasks of a flow of a line, after a key.

    One at least, at most `limit` of them, and they weigh no more than `bytes_max`.
    """

    queue: str
    type: str
    flow: int
    after: tuple[int, int]
    limit: int
    bytes_max: int


class SchedulePageWanted(NamedTuple):
    """The next scheduled tasks, after (ready_ms, seq); bounded as a page is."""

    after: tuple[int, int]
    limit: int
    bytes_max: int


class Page(NamedTuple):
    """The next tasks in their order, and whether more follow."""

    tasks: list[Task]
    more: bool


class Search(NamedTuple):
    """The tasks that match a filter, oldest first, with `seq` before a bound (0: none)."""

    filter: Filter
    limit: int
    before_seq: int = 0


@dataclass(slots=True)
class Wants:
    """What the core must be shown from disk before a step; it holds the rest itself."""

    known_ids: list[str] = field(default_factory=list)  # only whether they exist, and their digest
    ids: list[str] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)
    unique_keys: list[tuple[str, str]] = field(default_factory=list)
    searches: list[Search] = field(default_factory=list)
    pages: list[PageWanted] = field(default_factory=list)
    schedule_page: SchedulePageWanted | None = None

    def __bool__(self) -> bool:
        return bool(
            self.known_ids
            or self.ids
            or self.seqs
            or self.unique_keys
            or self.searches
            or self.pages
            or self.schedule_page
        )


@dataclass(slots=True)
class Found:
    """What storage found of `Wants`, in the same order where there is one."""

    known: dict[str, bytes] = field(default_factory=dict)  # id → digest
    tasks: list[Task] = field(default_factory=list)  # for ids, seqs and unique keys
    searches: list[list[Task]] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    schedule_page: Page | None = None


class FlowCount(NamedTuple):
    """How many tasks of a flow of a line are QUEUED at a start, and their highest priority."""

    queue: str
    type: str
    flow: int
    queued: int
    priority: int


class ScheduledCount(NamedTuple):
    """How many tasks of a line are SCHEDULED at a start."""

    queue: str
    type: str
    scheduled: int


@dataclass(slots=True)
class Opened:
    """What a start finds on disk."""

    term: int
    store_id: str
    # The first id that the store had: a restored one keeps it.
    cluster_id: str
    next_seq: int
    next_revision: int
    queues: list[Queue]
    queued: list[FlowCount]
    scheduled: list[ScheduledCount]
    running: list[Task]
    services: list[ServiceRow]
    next_service_revision: int
