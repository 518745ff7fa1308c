"""Limits of queues in a run: what an operator sets and when, and an account of what they allow.

The account counts what runs on the disk and fills buckets of its own, so that it can contradict
the core's gates.
"""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from pullwork_master.core.effects import Effects
from pullwork_master.core.model import Limits, State, Task
from simulator.disk import Disk
from simulator.story import require

if TYPE_CHECKING:
    from simulator.master import Master

QUEUES: Final = ("default", "mail")
KEYS: Final = ("", "k1", "k2")
# Of a token: what may be lost by rounding.
EPSILON: Final = 1e-3
_CHOICES: Final[dict[str, tuple[int | float, ...]]] = {
    "concurrency": (0, 1, 1, 2),
    "rate": (0.0, 0.0, 0.5, 2.0),
    "burst": (0, 1, 2),
    "concurrency_per_key": (0, 1),
    "rate_per_key": (0.0, 0.0, 0.5, 2.0),
    "burst_per_key": (0, 1, 2),
    "weight": (1, 3),
}


class Change(NamedTuple):
    """Limits that an operator sets, at which part of the busy time."""

    at: float
    queue: str
    changes: dict[str, int | float]
    clear: bool


def draw_limits(dice: random.Random) -> tuple[Change, ...]:
    """Draws what an operator sets: of two runs out of three nothing.

    The dice are left as they were, so that runs without limits go as if there were none.
    """
    own = random.Random(copy.copy(dice).random())
    if own.random() < 2 / 3:
        return ()
    return tuple(
        Change(
            own.choice((0.0, own.random(), own.random())),
            own.choice((*QUEUES, "default")),
            {name: own.choice(of) for name, of in _CHOICES.items() if own.random() < 0.6},
            own.random() < 0.3,
        )
        for _ in range(own.choice((1, 2, 4)))
    )


@dataclass(slots=True)
class Bucket:
    """Tokens of a queue or of a limit key in it."""

    rate: float
    burst: int
    tokens: float
    at_ms: int

    def now(self, now_ms: int) -> float:
        """Returns how many there are now."""
        return min(self.burst, self.tokens + (now_ms - self.at_ms) * self.rate / 1000)


class LimitAccount:
    """What the limits of all queues allow now."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        # By queue and limit key; "": of the whole queue.
        self._running: Counter[tuple[str, str]] = Counter()
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._attempts: dict[int, int] = {}

    def master_started(self) -> None:
        """Buckets are full again, as the contract has it."""
        self._buckets.clear()

    def committed(self, master: Master, effects: Effects) -> None:
        """A step is on disk: looks at what started in it, and at what runs now."""
        changed = effects.writes.queues
        # What was set anew is counted anew: the core's bucket then holds no more than this.
        for each in [each for each in self._buckets if each[0] in changed]:
            del self._buckets[each]
        now_ms = master.core.book.now.mono_ms
        for task in effects.changed.values():
            started = task.attempt - self._attempts.get(task.seq, 0)
            self._attempts[task.seq] = task.attempt
            # Of a step that set limits, nobody outside knows what started before that.
            if started and task.spec.queue not in changed:
                self._take(task, now_ms)
        self._count(changed)

    def _limits(self, queue: str) -> Limits:
        return self._disk.queue(queue).limits

    def _bucket(self, queue: str, key: str, now_ms: int) -> Bucket | None:
        limits = self._limits(queue)
        rate, burst = (
            (limits.rate_per_key, limits.burst_per_key) if key else (limits.rate, limits.burst)
        )
        if not rate:
            return None
        full = burst or max(1, -int(-rate // 1))
        return self._buckets.setdefault((queue, key), Bucket(rate, full, full, now_ms))

    def _take(self, task: Task, now_ms: int) -> None:
        for key in {"", task.spec.limit_key}:
            bucket = self._bucket(task.spec.queue, key, now_ms)
            if bucket is not None:
                left = bucket.now(now_ms)
                law = "no more start than a rate allows"
                require(left >= 1 - EPSILON, law, task.spec.id, key, left)
                bucket.tokens, bucket.at_ms = left - 1, now_ms

    def _count(self, changed: Container[str]) -> None:
        before, self._running = self._running, Counter()
        for task in self._disk.tasks.values():
            if task.state is State.RUNNING:
                for key in {"", task.spec.limit_key}:
                    self._running[(task.spec.queue, key)] += 1
        for (queue, key), count in self._running.items():
            most = self._most(queue, key)
            # A limit that was lowered holds for what starts since.
            held = not most or count <= max(most, before[(queue, key)]) or queue in changed
            require(held, "no more run at once than a limit allows", queue, key, count)

    def _most(self, queue: str, key: str) -> int:
        limits = self._limits(queue)
        return limits.concurrency_per_key if key else limits.concurrency

    def holds_back(self, task: Task, now_ms: int) -> bool:
        """Whether a limit may be why a task waits."""
        for key in {"", task.spec.limit_key}:
            most = self._most(task.spec.queue, key)
            if most and self._running[(task.spec.queue, key)] >= most:
                return True
            bucket = self._buckets.get((task.spec.queue, key))
            if bucket is not None and bucket.now(now_ms) < 1:
                return True
        return False
