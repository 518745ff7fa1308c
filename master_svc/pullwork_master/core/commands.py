"""Everything that can be asked of the core, and its answers.

Fields are checked for shape by the wire layer before they come here; the core
checks what depends on state.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from pullwork_master.core.model import Failure, Grant, Load, Session, Spec, State, Task


@dataclass(frozen=True, slots=True)
class Filter:
    """Chooses tasks; empty fields match all."""

    queue: str = ""
    type: str = ""
    owner: str = ""
    states: tuple[State, ...] = ()
    # True: instances of services don't match.
    but_instances: bool = False

    def matches(self, task: Task) -> bool:
        """Whether all that is set holds for the task."""
        spec = task.spec
        return (
            (not self.queue or spec.queue == self.queue)
            and (not self.type or spec.type == self.type)
            and (not self.owner or spec.owner == self.owner)
            and (not self.states or task.state in self.states)
            and not (self.but_instances and task.is_instance)
        )


# --- what clients ask -------------------------------------------------------------------


class NewTask(NamedTuple):
    """A task to be, and its delay, which counts from its acceptance."""

    spec: Spec
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class Submit:
    """Store these tasks, all or none. Answer: `tuple[Receipt, ...]`.

    `chosen` are the ids that clients chose themselves: these may be on disk already.
    `id_field` is where the id of a task stood in the request, by the task's index.
    `keeps_up` says that they take the place of what ran: the room that the disk keeps for what is
    under way is there for them too.
    """

    tasks: tuple[NewTask, ...]
    chosen: tuple[str, ...] = ()
    id_field: str = "tasks[{}].task_id"
    keeps_up: bool = False


class Receipt(NamedTuple):
    """Under which id a submitted task is kept."""

    task_id: str
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Cancel:
    """End tasks by id, or up to `limit` by filter. Answer: `Chosen`."""

    task_ids: tuple[str, ...] = ()
    filter: Filter | None = None
    skip_ended: bool = False
    limit: int = 1_000


@dataclass(frozen=True, slots=True)
class Retry:
    """Put ended tasks back by id, or up to `limit` by filter. Answer: `Chosen`."""

    task_ids: tuple[str, ...] = ()
    filter: Filter | None = None
    limit: int = 1_000


class Chosen(NamedTuple):
    """The tasks that a bulk command changed, and whether more match its filter."""

    task_ids: tuple[str, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Explain:
    """Say why a task is where it is. Answer: `explain.Explanation`."""

    task_id: str


# --- what operators ask -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetPaused:
    """Pause or resume a queue. Answer: the `Queue`."""

    queue: str
    paused: bool


@dataclass(frozen=True, slots=True)
class SetLimits:
    """Change some limits of a queue; the queue is made if need be. Answer: the `Queue`.

    `changes` is by the names of `Limits`; what it does not name stays as it is, or is no limit
    any more if `clear`.
    """

    queue: str
    changes: dict[str, int | float]
    clear: bool = False


@dataclass(frozen=True, slots=True)
class DropQueue:
    """Forget a queue of which nothing is left. Answer: whether that is so.

    As long as it has tasks, also ended ones, or workers, or limits, or is paused, it stays.
    """

    queue: str


@dataclass(frozen=True, slots=True)
class PurgeStep:
    """Cancel the next waiting tasks of a queue that arrived before `before_seq` (0: now).

    Answer: `Purged`; repeat with its `before_seq` until `done`.
    """

    queue: str
    before_seq: int = 0


class Purged(NamedTuple):
    """What one step of a purge did."""

    cancelled: int
    before_seq: int
    done: bool


@dataclass(frozen=True, slots=True)
class PutService:
    """Store what is wanted of a service. Answer: its `ServiceRow`.

    `expect_revision`: where the service must be; 0: it must not exist; -1: it must exist.
    `version`: of what its instances are made of; 0: they are made of something new, whose version
    is the revision that this change gets.
    """

    name: str
    record: bytes
    expect_revision: int
    version: int = 0


@dataclass(frozen=True, slots=True)
class DeleteService:
    """Forget a service. Answer: the `ServiceRow` that it was."""

    name: str


@dataclass(frozen=True, slots=True)
class Drain:
    """Ask a worker to take no more work. Answer: its `Session`."""

    worker: str


@dataclass(frozen=True, slots=True)
class Evict:
    """End a worker's session. Answer: the number of leases taken back."""

    worker: str


# --- what workers ask -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """One line of a worker's inventory; None: nothing new."""

    token: str
    started: bool
    fraction: float | None = None
    message: str | None = None
    checkpoint: bytes | None = None


@dataclass(frozen=True, slots=True)
class Register:
    """Begin a session. Answer: `Registered`."""

    name: str
    boot_id: str
    queues: tuple[str, ...]
    types: tuple[str, ...]
    slots: int
    look_ahead_max: int = 0
    labels: tuple[tuple[str, str], ...] = ()
    version: str = ""
    held: tuple[Held, ...] = ()


class Registered(NamedTuple):
    """A new session, and for each held lease whether it is kept."""

    session: Session
    kept: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class OpenStream:
    """A TaskIncoming stream stands. Answer: its number."""

    session: str


@dataclass(frozen=True, slots=True)
class StreamBroke:
    """A TaskIncoming stream ended. Answer: None."""

    session: str
    stream: int


@dataclass(frozen=True, slots=True)
class Request:
    """Grant tasks. Answer: `tuple[Grant, ...]`, perhaps after `wait_ms`."""

    session: str
    max_tasks: int
    wait_ms: int = 0
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Unpark:
    """The caller of a parked request is gone. Answer: None."""

    session: str
    call: int


class Released(NamedTuple):
    """An outcome: the ticket comes back unstarted."""


class Success(NamedTuple):
    """An outcome: a result."""

    payload: bytes
    content_type: str


class Outcome(NamedTuple):
    """How an attempt ended; `digest` is of all of it."""

    token: str
    result: Success | Failure | Released
    digest: bytes


class Verdict(IntEnum):
    """The master's word on an outcome; the numbers are the contract's."""

    ACCEPTED = 1
    CONFLICT = 2
    STALE_LEASE = 3
    UNKNOWN_TASK = 4


@dataclass(frozen=True, slots=True)
class Report:
    """Take outcomes and grant the next tasks. Answer: `Reported`."""

    session: str
    outcomes: tuple[Outcome, ...]
    request_tasks: int = 0
    request_id: str = ""


class Reported(NamedTuple):
    """A verdict for each outcome, and the next grants."""

    verdicts: tuple[Verdict, ...]
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Take an inventory. Answer: `HeartbeatAnswer`."""

    session: str
    held: tuple[Held, ...]
    load: Load
    # It drains by its own wish.
    draining: bool = False


class HeartbeatAnswer(NamedTuple):
    """Leases that are worth nothing any more, whether to leave, and when to speak again."""

    abandon: tuple[str, ...]
    drain: bool
    interval_ms: int


@dataclass(frozen=True, slots=True)
class Deregister:
    """End a session politely. Answer: the number of leases taken back."""

    session: str
    reason: str = ""


Command = (
    Submit
    | Cancel
    | Retry
    | Explain
    | SetPaused
    | SetLimits
    | DropQueue
    | PurgeStep
    | PutService
    | DeleteService
    | Drain
    | Evict
    | Register
    | OpenStream
    | StreamBroke
    | Request
    | Unpark
    | Report
    | Heartbeat
    | Deregister
)
