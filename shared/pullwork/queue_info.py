"""A queue as people see it: how much waits and runs in it, by type."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from pullwork.moments import moment
from pullwork.v1 import queue_pb2


@dataclass(frozen=True, slots=True)
class LineInfo:
    """The part of a queue that needs one type; `workers` serve the queue and know the type."""

    type: str
    waiting: int
    running: int
    workers: int


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
        )
