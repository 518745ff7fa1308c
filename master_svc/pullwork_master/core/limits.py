"""Bounds on all that the core takes or holds, each with its reason, and the policy it lives by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PRIORITY_MAX: Final = 100  # enough classes for anybody; -100 is the lowest
NAME_CHARS_MAX: Final = 128  # queue, type, owner, worker: shown in tables and used in indexes
UNIQUE_KEY_CHARS_MAX: Final = 256
CONTENT_TYPE_CHARS_MAX: Final = 256
HEADERS_MAX: Final = 64
HEADERS_BYTES_MAX: Final = 8 * 1024  # as web servers bound theirs
SUBMIT_TASKS_MAX: Final = 1_000  # one message, one step of the core, one piece of a commit
SUBMIT_BYTES_MAX: Final = 3 * 1024 * 1024  # gRPC takes 4 MiB, and refuses more without a reason
IDS_MAX: Final = 1_000
OUTCOMES_MAX: Final = 1_000
PAGE_SIZE_MAX: Final = 1_000
PAGE_SIZE_DEFAULT: Final = 100
PAGE_BYTES_MAX: Final = 3 * 1024 * 1024  # failures may be long; leaves room under gRPC's 4 MiB
WORKER_QUEUES_MAX: Final = 64
WORKER_TYPES_MAX: Final = 1_024
TYPES_SHOWN_MAX: Final = 10_000  # on a master's entry: 1.3 MB of names, which fit one page
WORKER_LINES_MAX: Final = 4_096  # queues × types: each is an entry of an index
WORKER_SLOTS_MAX: Final = 10_000
WORKER_LABELS_MAX: Final = 64
TICKETS_MAX: Final = 1_000  # in one answer, as many as in one report
TICKETS_BYTES_MAX: Final = 3 * 1024 * 1024  # leaves room for the envelope under gRPC's 4 MiB
BOOT_ID_CHARS_MAX: Final = 64
REQUEST_ID_CHARS_MAX: Final = 64
REQUESTS_REMEMBERED: Final = 8  # a worker has two calls in flight, so this is generous
WAIT_MS_MAX: Final = 60_000  # a parked call is longer than no proxy's idle limit
ATTEMPTS_KEPT: Final = 20  # lines of a task's story
RETRY_ATTEMPTS_MAX: Final = 1_000
WORKER_DEATHS_MAX: Final = 100
MULTIPLIER_MAX: Final = 100.0
DURATION_MS_MAX: Final = 10 * 365 * 24 * 3600 * 1000  # ten years: anything longer is a mistake
FAILURE_TYPE_CHARS_MAX: Final = 256
FAILURE_MESSAGE_CHARS_MAX: Final = 4 * 1024
FAILURE_DETAILS_CHARS_MAX: Final = 32 * 1024
HISTORY_DETAILS_CHARS_MAX: Final = 2 * 1024  # twenty of these are kept, only the last whole
PROGRESS_MESSAGE_CHARS_MAX: Final = 1024
CHECKPOINT_BYTES_MAX: Final = 256 * 1024
ENDED_SESSIONS_REMEMBERED: Final = 1_000  # to tell a late worker why its session ended
MISSED_HEARTBEATS_MAX: Final = 2  # a lease that this many in a row do not list is taken back
LEASE_LOOK_MS: Final = 10_000  # an attempt that ended stays in the heap of moments no longer
AHEAD_COUNTED_MAX: Final = 10_000  # explain counts no further
TASK_BYTES: Final = 1_024  # what a task weighs in memory, beside its payload and checkpoint
# However many flows share the window of a line, each may have this many tasks in it.
FLOW_TASKS_MIN: Final = 8
PAGES_STEP: Final = 128  # flows of a line that are read in one step: 5 ms of the disk's time
LIMIT_KEY_CHARS_MAX: Final = 256
TASKS_BOUND_MAX: Final = 1 << 40  # of a limit: more than a disk holds
CONCURRENCY_MAX: Final = 1_000_000
RATE_MAX: Final = 1_000_000.0  # a second
RATE_MIN: Final = 1 / 3600  # a key that is slower would be remembered for too long
WEIGHT_MAX: Final = 100
PURGE_STEP: Final = 1_000  # tasks in one step of a purge, so that it never stalls the path
WAKE_STEP: Final = 2_000  # scheduled tasks that become ready in one step


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator may set; times in milliseconds."""

    # The least time between two heartbeats of one worker; a large fleet is told a longer one.
    heartbeat_ms: int = 5_000
    # The time between two heartbeats of any workers, on the average: what bounds their cost.
    beat_gap_ms: int = 10
    grace_ms: int = 1_000
    silence_grace_ms: int = 10_000
    # Heartbeats that may fail to come before a session is SUSPECT.
    silent_heartbeats: int = 3
    # The master's own loop was late by more than this: it grants everybody new grace.
    pause_ms: int = 3_000
    retention_ms: int = 7 * 24 * 3600 * 1000
    # What a line may hold in memory of what waits, and all lines together.
    window_tasks: int = 2_000
    window_bytes: int = 16 * 1024 * 1024
    windows_bytes: int = 128 * 1024 * 1024
    queue_tasks_max: int = 10_000_000
    queues_max: int = 10_000
    sessions_max: int = 10_000
    # All of them are in memory, and looked at whenever one of them has changed.
    services_max: int = 1_000
    payload_bytes_max: int = 1024 * 1024
    sweep_tasks: int = 500
    sweep_every_ms: int = 1_000
    # Whether effects tell each change of a task's state, for telemetry.
    tell_moves: bool = False

    def interval_ms(self, workers: int) -> int:
        """How far apart the heartbeats of each worker are, in a fleet of so many."""
        return max(self.heartbeat_ms, workers * self.beat_gap_ms)

    def silence_ms(self, interval_ms: int) -> int:
        """How long a session with this interval may be silent before it is SUSPECT."""
        return self.silent_heartbeats * interval_ms

    def lease_ms(self, interval_ms: int) -> int:
        """How long its worker may be out of contact before it stops what it runs."""
        return self.silence_ms(interval_ms) + self.silence_grace_ms

    def reconcile_ms(self, workers: int) -> int:
        """How long after a start the master waits for so many workers to come back."""
        return 2 * self.interval_ms(workers)

    @property
    def overrun_ms(self) -> int:
        """How long beyond its timeout an attempt may take to be reported before it is revoked."""
        return max(self.heartbeat_ms, 2_000)
