"""What there is, asked when it is collected: queues, workers, the age of what waits longest.

The collector has a thread of its own, and the core belongs to the loop's. So the loop is asked to
take a picture, which costs it microseconds, and the thread waits for that: nothing is locked, and
between two collections nothing is done at all.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from pullwork_master.core.model import Contact, Session
from pullwork_master.engine import Engine
from pullwork_master.telemetry.labels import LineLabels, labels
from pullwork_master.views import Views

# A loop that does not answer within this is in trouble, and its reader must not be, too.
_PATIENCE_S: Final = 2.0
# All instruments of one collection see one picture.
_FRESH_S: Final = 0.1
# Queues whose oldest task is looked for on the disk in one collection.
_AGES_MAX: Final = 50
WORKER_STATES: Final = ("connected", "draining", "suspect", "awaited")

Pair = tuple[str, str]


@dataclass(slots=True)
class Picture:
    """What there was at one moment."""

    # By line and state: queued, scheduled, running.
    tasks: dict[tuple[Pair, str], int] = field(default_factory=dict)
    # Seconds by queue.
    ages: dict[str, float] = field(default_factory=dict)
    workers: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WORKER_STATES, 0))
    slots: int = 0
    slots_busy: int = 0


class Levels:
    """The instruments of what there is. To be made on the loop's thread."""

    def __init__(self, meter: Meter, lines: LineLabels, engine: Engine, disk: Views) -> None:
        self._lines = lines
        self._engine = engine
        self._disk = disk
        self._loop = asyncio.get_running_loop()
        # Among collectors; the loop never takes it.
        self._lock = threading.Lock()
        self._picture: Picture | None = None
        self._taken_s = float("-inf")
        gauge = meter.create_observable_gauge
        gauge("pullwork.queue.tasks", [self._shown(_tasks)], "{task}", "Tasks that have not ended.")
        gauge(
            "pullwork.queue.oldest_age",
            [self._shown(_ages)],
            "s",
            "For how long the task waits that may run and waits longest.",
        )
        gauge("pullwork.workers", [self._shown(_workers)], "{worker}", "Sessions, by state.")
        gauge("pullwork.workers.slots", [self._shown(_slots)], "{slot}", "Slots of all workers.")
        gauge(
            "pullwork.workers.slots_busy",
            [self._shown(_slots_busy)],
            "{slot}",
            "Slots that run something, as the workers last said.",
        )

    def _shown(
        self, show: Callable[[Picture], Iterable[Observation]]
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def callback(_: CallbackOptions) -> Iterable[Observation]:
            picture = self._look()
            return [] if picture is None else show(picture)

        return callback

    def _look(self) -> Picture | None:
        """Returns a fresh picture, on the collector's thread; None if the loop does not answer."""
        with self._lock:
            if time.monotonic() - self._taken_s > _FRESH_S:
                self._picture = _ask(self._loop, self._take())
                self._taken_s = time.monotonic()
            return self._picture

    async def _take(self) -> Picture:
        """Takes the picture, on the loop's thread; only the ages are on the disk."""
        book, picture = self._engine.core.book, Picture()
        for pair in self._lines.known():
            for state in ("queued", "scheduled", "running"):
                picture.tasks[pair, state] = 0
            picture.ages[pair[0]] = 0.0
        waiting: dict[str, list[str]] = {}
        for line in book.lines.values():
            if not (line.queued or line.scheduled or line.running):
                continue
            pair = self._lines.pair(line.queue, line.type)
            counts = (("queued", line.queued), ("scheduled", line.scheduled))
            for state, count in (*counts, ("running", line.running)):
                picture.tasks[pair, state] = picture.tasks.get((pair, state), 0) + count
            if line.queued and pair[0] == line.queue and len(waiting) < _AGES_MAX:
                waiting.setdefault(line.queue, []).append(line.type)
        for session in book.sessions.values():
            picture.workers[_state(session)] += 1
            picture.slots += session.slots
            picture.slots_busy += session.load.slots_busy
        now_ms = book.now.wall_ms
        for queue, types in waiting.items():
            since_ms = await self._disk.waiting_since(queue, types)
            picture.ages[queue] = max(0, now_ms - since_ms) / 1000 if since_ms else 0.0
        return picture


def _ask(loop: asyncio.AbstractEventLoop, question: Coroutine[Any, Any, Picture]) -> Picture | None:
    try:
        asked = asyncio.run_coroutine_threadsafe(question, loop)
    except RuntimeError:  # the loop is closed: the master has stopped
        question.close()
        return None
    try:
        return asked.result(_PATIENCE_S)
    except (TimeoutError, CancelledError, RuntimeError):
        asked.cancel()
        return None


def _state(session: Session) -> str:
    if session.ghost:
        return "awaited"
    if session.contact is not Contact.CONNECTED:
        return "suspect"
    return "draining" if session.draining else "connected"


def _tasks(picture: Picture) -> Iterable[Observation]:
    return [
        Observation(count, labels(pair, state=state))
        for (pair, state), count in picture.tasks.items()
    ]


def _ages(picture: Picture) -> Iterable[Observation]:
    return [Observation(age_s, {"queue": queue}) for queue, age_s in picture.ages.items()]


def _workers(picture: Picture) -> Iterable[Observation]:
    return [Observation(count, {"state": state}) for state, count in picture.workers.items()]


def _slots(picture: Picture) -> Iterable[Observation]:
    return [Observation(picture.slots)]


def _slots_busy(picture: Picture) -> Iterable[Observation]:
    return [Observation(picture.slots_busy)]
