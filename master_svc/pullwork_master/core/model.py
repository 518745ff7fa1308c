"""What the core keeps: tasks, leases, sessions, queues. Plain data, no behaviour to speak of.

Times: `*_ms` fields of tasks and queues are the wall clock's, since they outlive
the process; those of leases and sessions are a monotonic clock's.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

# A node's worker has this and the node's name as its name and as its only queue; tasks in such a
# queue are instances of services.
NODE_PREFIX: Final = "pullwork.node/"


class Now(NamedTuple):
    """The time of a step, by both clocks, in milliseconds."""

    mono_ms: int
    wall_ms: int


class State(IntEnum):
    """States of a task; the numbers are the contract's and the disk's."""

    SCHEDULED = 1
    QUEUED = 2
    RUNNING = 3
    SUCCEEDED = 4
    FAILED = 5
    CANCELLED = 6

    @property
    def ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self >= State.SUCCEEDED


class FailureKind(IntEnum):
    """Who is to blame for a failure; the numbers are the contract's."""

    APPLICATION = 1
    TIMEOUT = 2
    WORKER_LOST = 3
    REJECTED = 4


class AttemptEnd(IntEnum):
    """How an attempt ended; the numbers are the contract's."""

    SUCCEEDED = 1
    FAILED = 2
    WORKER_LOST = 3
    RELEASED = 4
    CANCELLED = 5
    UNDELIVERED = 6


class Retry(NamedTuple):
    """What happens after a failed attempt."""

    max_attempts: int = 1
    initial_ms: int = 1_000
    max_ms: int = 300_000
    multiplier: float = 2.0


class Spec(NamedTuple):
    """Everything about a task that never changes; see `TaskSpec` in the contract.

    A tuple, since one is made for every submission, and that takes a third of the time.
    """

    id: str
    queue: str
    type: str
    payload: bytes = b""
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    priority: int = 0
    # Wall clock; 0: at once. A delay is turned into this when the task is accepted.
    not_before_ms: int = 0
    execution_timeout_ms: int = 0
    progress_timeout_ms: int = 0
    retry: Retry = Retry()
    max_worker_deaths: int = 3
    owner: str = ""
    retention_ms: int = 0
    unique_key: str = ""
    # Of the content as submitted, to tell a repeat from a conflict.
    digest: bytes = b""
    # Whose share of the queue's limits per key it takes.
    limit_key: str = ""
    # See `flows`: of owner and limit key.
    flow: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt did not succeed."""

    kind: FailureKind
    type: str = ""
    message: str = ""
    details: str = ""
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line of a task's story: an attempt that did not succeed."""

    number: int
    worker: str
    session: str
    started_ms: int
    ended_ms: int
    end: AttemptEnd
    failure: Failure | None = None
    # Of the outcome as reported; empty if the worker never reported one.
    digest: bytes = b""


@dataclass(slots=True)
class Lease:
    """The right of one session to run one attempt, while it stands."""

    token: str
    # Who holds it now; the session in the token is the one it was granted to.
    session: str
    granted_ms: int
    # When its ticket was last sent again; 0: never.
    repeated_ms: int = 0
    # By which the master expects an end; 0: no bound.
    execution_due_ms: int = 0
    progress_due_ms: int = 0
    started: bool | None = None
    missed: int = 0
    fraction: float = 0.0
    message: str = ""


@dataclass(slots=True, eq=False)
class Task:
    """A task and where it is in its life."""

    # Integer key, in order of arrival.
    seq: int
    spec: Spec
    state: State
    created_ms: int
    attempt: int = 0
    failures: int = 0
    deaths: int = 0
    ready_ms: int = 0
    started_ms: int = 0
    ended_ms: int = 0
    expires_ms: int = 0
    # Place in the order of all ends; 0 while it has not ended.
    revision: int = 0
    # Of the last attempt: who it was granted to.
    session: str = ""
    worker: str = ""
    history: tuple[Attempt, ...] = ()
    result: bytes | None = None
    result_content_type: str = ""
    failure: Failure | None = None
    checkpoint: bytes = b""
    # Of the accepted outcome that ended the task.
    digest: bytes = b""
    # Only while RUNNING; never on disk.
    lease: Lease | None = None

    @property
    def key(self) -> tuple[int, int]:
        """Place in its line: higher priority first, then older first."""
        return (-self.spec.priority, self.seq)

    @property
    def line(self) -> tuple[str, str]:
        """The line it waits in: queue and type."""
        return (self.spec.queue, self.spec.type)

    @property
    def is_instance(self) -> bool:
        """Whether it is an instance of a service."""
        return self.spec.queue.startswith(NODE_PREFIX)

    @property
    def token(self) -> str:
        """The token of the lease of its last attempt."""
        return f"{self.seq}.{self.attempt}.{self.session}"


class Contact(IntEnum):
    """States of a session; the numbers are the contract's."""

    CONNECTED = 1
    SUSPECT = 2
    EXPIRED = 3


class Cause(StrEnum):
    """Why a session ended, for programs."""

    SILENT = "SILENT"  # out of contact for longer than the grace
    LEFT = "LEFT"
    EVICTED = "EVICTED"
    REGISTERED_ANEW = "REGISTERED_ANEW"  # its own process has another session now
    NAME_TAKEN = "NAME_TAKEN"  # another process registered under its name


@dataclass(slots=True)
class Load:
    """What a worker last measured of its node."""

    cpu: float = 0.0
    memory: float = 0.0
    slots_busy: int = 0


class Grant(NamedTuple):
    """What a ticket is made of."""

    token: str
    attempt: int
    checkpoint: bytes
    spec: Spec
    # The last attempt before this one that a worker may have begun; 0: none.
    former: int = 0


@dataclass(slots=True)
class Parked:
    """A request for tasks that waits for the first one."""

    call: int
    credit: int
    due_ms: int
    request_id: str


@dataclass(slots=True, eq=False)
class Session:
    """One worker's continuous contact."""

    id: str
    name: str
    boot_id: str
    queues: tuple[str, ...]
    types: tuple[str, ...]
    slots: int
    look_ahead_max: int
    labels: tuple[tuple[str, str], ...]
    version: str
    registered_ms: int
    last_seen_ms: int
    contact: Contact = Contact.CONNECTED
    # Why it is SUSPECT, and until when its leases stand.
    suspect_why: str = ""
    suspect_until_ms: int = 0
    # The interval of heartbeats that it was told last, and the one before: of the last it may
    # not have heard.
    interval_ms: int = 0
    former_interval_ms: int = 0
    # Since when that is so.
    paced_ms: int = 0
    # The next moment at which it is looked at; 0: none is asked for.
    look_ms: int = 0
    # The number of its open stream; 0: none is open.
    stream: int = 0
    draining: bool = False
    # True: stands for a session before the restart, whose worker may come back.
    ghost: bool = False
    hinted: bool = False
    parked: Parked | None = None
    held: dict[int, Task] = field(default_factory=dict)
    load: Load = field(default_factory=Load)
    answered: OrderedDict[str, tuple[Grant, ...]] = field(default_factory=OrderedDict)
    # Every line it serves: each queue with each type.
    lines: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        self.lines = tuple((queue, type_) for queue in self.queues for type_ in self.types)

    @property
    def beat_within_ms(self) -> int:
        """How far apart its heartbeats may be, whichever interval it knows."""
        return max(self.interval_ms, self.former_interval_ms)

    @property
    def tick_within_ms(self) -> int:
        """How far apart its ticks may be, whichever interval it knows."""
        return min(self.interval_ms, self.former_interval_ms)

    @property
    def credit(self) -> int:
        """How many more tickets it may hold."""
        return self.slots + self.look_ahead_max - len(self.held)


class Limits(NamedTuple):
    """What an operator allows a queue; 0 is no limit. Rates are of tasks started in a second.

    A burst is how many may start at once after a rest; 0 is the rate, rounded up.
    """

    tasks_max: int = 0
    concurrency: int = 0
    rate: float = 0.0
    burst: int = 0
    concurrency_per_key: int = 0
    rate_per_key: float = 0.0
    burst_per_key: int = 0
    # Its part of the workers that serve several queues, against theirs.
    weight: int = 1


NO_LIMITS: Final = Limits()


@dataclass(slots=True)
class Queue:
    """A queue's own facts; its tasks are counted by line."""

    name: str
    created_ms: int
    paused: bool = False
    limits: Limits = NO_LIMITS


class ServiceRow(NamedTuple):
    """A service as it is kept: what is wanted of it is `record`, which the core does not read."""

    name: str
    # Of all services there ever were, no two changes have one.
    revision: int
    # The revision that first had what its instances are made of.
    version: int
    record: bytes
    created_ms: int
    updated_ms: int
