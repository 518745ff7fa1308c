"""A queue as people see it: how much waits and runs in it, by type."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, fields
from typing import Final, TypedDict

from pullwork.errors import InvalidFieldError
from pullwork.moments import moment, seconds
from pullwork.v1 import queue_pb2
from pullwork.v1 import queue_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class LineInfo:
    """The part of a queue that needs one type; `workers` serve the queue and know the type."""

    type: str
    waiting: int
    running: int
    workers: int


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """What a queue is allowed; 0 is no limit. Rates are of attempts started in a second.

    `concurrency` is how many run at once, those that a worker holds ahead included; `burst` is how
    many may start at once after a rest (0: the rate, rounded up). Those `per_key` hold for the
    tasks of each `limit_key`. `weight` is its part of the workers that serve several queues.
    """

    tasks_max: int = 0
    concurrency: int = 0
    rate: float = 0.0
    burst: int = 0
    concurrency_per_key: int = 0
    rate_per_key: float = 0.0
    burst_per_key: int = 0
    weight: int = 1

    @classmethod
    def from_proto(cls, limits: queue_pb2.QueueLimits) -> QueueLimits:
        """Reads what the master told; one that knows no limits has none."""
        told = {each.name: getattr(limits, each.name) for each in fields(cls)}
        return cls(**{**told, "weight": limits.weight or 1})


class LimitChanges(TypedDict, total=False):
    """Limits of a queue to be changed, as in `QueueLimits`; 0 takes one away, None leaves it."""

    tasks_max: int | None
    concurrency: int | None
    rate: float | None
    burst: int | None
    concurrency_per_key: int | None
    rate_per_key: float | None
    burst_per_key: int | None
    weight: int | None


_COUNT: Final = f"a whole number from 0 to {2**32 - 1:,}"


def limits_request(name: str, *, clear: bool, changes: LimitChanges) -> pb.SetQueueLimitsRequest:
    """Packs a change of limits; raises InvalidFieldError for what can't be packed."""
    limits = queue_pb2.QueueLimits()
    for limit, value in changes.items():
        try:
            if value is not None:
                setattr(limits, limit, value)
        except (AttributeError, TypeError, ValueError) as error:
            wanted = "a number" if limit in ("rate", "rate_per_key") else _COUNT
            raise InvalidFieldError(
                f"limits.{limit} is {value!r}; it must be {wanted}", field=f"limits.{limit}"
            ) from error
    return pb.SetQueueLimitsRequest(name=name, limits=limits, clear=clear)


@dataclass(frozen=True, slots=True)
class QueueUse:
    """How much of its limits a queue has used up, beside what runs of it.

    `tokens` is how many its rate lets start now (None: it has none), `next_token` in how many
    seconds the next may start, `keys_held_back` how many limit keys are at a limit of theirs.
    """

    tokens: int | None
    next_token: float
    keys_held_back: int

    @classmethod
    def from_proto(cls, use: queue_pb2.QueueUse) -> QueueUse:
        """Reads what the master told."""
        return cls(
            tokens=use.tokens if use.HasField("tokens") else None,
            next_token=seconds(use, "next_token") or 0.0,
            keys_held_back=use.keys_held_back,
        )


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue at one moment; `waiting` tasks are QUEUED, `scheduled` ones wait for their time."""

    name: str
    paused: bool
    waiting: int
    scheduled: int
    running: int
    lines: tuple[LineInfo, ...]
    created_at: datetime.datetime | None
    limits: QueueLimits
    use: QueueUse

    @classmethod
    def from_proto(cls, queue: queue_pb2.Queue) -> QueueInfo:
        """Reads what the master told."""
        lines = (LineInfo(it.type, it.waiting, it.running, it.workers) for it in queue.lines)
        return cls(
            name=queue.name,
            paused=queue.paused,
            waiting=queue.waiting,
            scheduled=queue.scheduled,
            running=queue.running,
            lines=tuple(lines),
            created_at=moment(queue, "created_at"),
            limits=QueueLimits.from_proto(queue.limits),
            use=QueueUse.from_proto(queue.use),
        )
