"""What lets the tasks of a queue through: whose turn it is, and the queue's limits.

A gate counts what runs and keeps the pace of a queue and of each limit key in it. It is asked
before a grant and told of each; when room comes again, by an end or by the clock, it puts back
what was set aside and stirs the queue's lines, so that whoever waits is served at once.
"""

from __future__ import annotations

from math import ceil

from pullwork_master.core.lanes import Lane
from pullwork_master.core.model import Limits, Queue, Task
from pullwork_master.core.ready import Line
from pullwork_master.core.timers import GateDue, Timers

# A turn of a queue of weight 1 among the queues of a worker.
TURN = 1_000_000
UNBOUNDED = 1 << 62
# Paces of limit keys that are kept before those that rest are let go.
PACES_MIN = 1_000
# Of a token: moments are whole milliseconds, and a share of one must not be lost by rounding.
EPSILON = 1e-6


def tokens(full_ms: float, rate: float, burst: int, now_ms: int) -> int:
    """Returns how many tokens a bucket holds, told by the moment at which it is full again."""
    short_ms = max(0.0, full_ms - now_ms)
    return max(0, int(burst - short_ms * rate / 1000 + EPSILON))


def next_token_ms(full_ms: float, rate: float, burst: int, now_ms: int) -> int:
    """Returns the moment at which the next may start; 0: it may start now."""
    if tokens(full_ms, rate, burst, now_ms):
        return 0
    return max(now_ms + 1, ceil(full_ms - (burst - 1) * 1000 / rate))


class Gate:
    """One queue's gate."""

    def __init__(self, queue: Queue, stirred: dict[tuple[str, str], None], timers: Timers) -> None:
        self.queue = queue
        self._stirred = stirred
        self._timers = timers
        # Its lines, by type.
        self.lines: dict[str, Line] = {}
        # Tasks that are QUEUED or SCHEDULED.
        self.waiting = 0
        # Its turn among the queues of a worker.
        self.turn = 0
        # Turns of its flows, the turn now, and in how many lines each flow waits.
        self.turns: dict[int, int] = {}
        self._now_turn = 0
        self._flows: dict[int, int] = {}
        self.running = 0
        # By limit key: how many run; when its bucket is full again; what is set aside for it.
        self.running_by_key: dict[str, int] = {}
        self._full_ms = 0.0
        self._key_full_ms: dict[str, float] = {}
        self._paces_max = PACES_MIN
        self.aside: dict[str, dict[Lane, Line]] = {}
        # Moments at which it is looked at: by limit key, "" for the queue's own pace.
        self._looks: dict[str, int] = {}
        self._limit(queue.limits)

    # --- turns --------------------------------------------------------------------------

    def flow_came(self, flow: int) -> None:
        """Takes note that tasks of a flow wait in one more line."""
        self._flows[flow] = self._flows.get(flow, 0) + 1

    def flow_left(self, flow: int) -> None:
        """Takes note that none of a flow wait in a line any more."""
        self._flows[flow] -= 1
        if not self._flows[flow]:
            del self._flows[flow]
            if not self._flows:
                self.turns.clear()
                self._now_turn = 0

    def _took_turn(self, flow: int) -> None:
        now = self._now_turn = max(self._now_turn, self.turns.get(flow, 0))
        self.turns[flow] = now + 1

    # --- limits -------------------------------------------------------------------------

    def set_limits(self, limits: Limits, now_ms: int) -> None:
        """Puts other limits into force; what was set aside is looked at anew."""
        self.queue.limits = limits
        self._limit(limits)
        # No bucket is emptier than empty: one that was slow to fill is not for long.
        if limits.rate:
            self._full_ms = min(self._full_ms, now_ms + self._burst * 1000 / limits.rate)
        if limits.rate_per_key:
            latest_ms = now_ms + self._key_burst * 1000 / limits.rate_per_key
            self._key_full_ms = {
                key: min(full_ms, latest_ms) for key, full_ms in self._key_full_ms.items()
            }
        for key in list(self.aside):
            self._put_back(key)
        self.stir()

    def _limit(self, limits: Limits) -> None:
        self._limited = bool(limits.concurrency or limits.rate)
        self._keyed = bool(limits.concurrency_per_key or limits.rate_per_key)
        self._paced = bool(limits.rate or limits.rate_per_key)
        self._burst = limits.burst or max(1, ceil(limits.rate))
        self._key_burst = limits.burst_per_key or max(1, ceil(limits.rate_per_key))
        if not limits.rate:
            self._full_ms = 0.0
        if not limits.rate_per_key:
            self._key_full_ms.clear()

    def room(self, now_ms: int) -> int:
        """Returns how many tasks of the queue may start now, its keys aside."""
        if self.queue.paused:
            return 0
        if not self._limited:
            return UNBOUNDED
        limits, room = self.queue.limits, UNBOUNDED
        if limits.concurrency:
            room = max(0, limits.concurrency - self.running)
        if limits.rate and room:
            room = min(room, self.tokens_now(now_ms))
        return room

    def tokens_now(self, now_ms: int) -> int:
        """Returns how many the queue's rate lets start now; it must have one."""
        return tokens(self._full_ms, self.queue.limits.rate, self._burst, now_ms)

    def key_room(self, key: str, now_ms: int) -> int:
        """Returns how many tasks of a limit key may start now, as far as the key goes."""
        if not key or not self._keyed:
            return UNBOUNDED
        limits, room = self.queue.limits, UNBOUNDED
        if limits.concurrency_per_key:
            room = max(0, limits.concurrency_per_key - self.running_by_key.get(key, 0))
        if limits.rate_per_key and room:
            full_ms = self._key_full_ms.get(key, 0.0)
            room = min(room, tokens(full_ms, limits.rate_per_key, self._key_burst, now_ms))
        return room

    def bars(self, key: str, now_ms: int) -> bool:
        """Whether a limit key is at a limit."""
        return self._keyed and self.key_room(key, now_ms) <= 0

    def opens_ms(self, now_ms: int) -> int:
        """Returns when the queue's rate lets the next start; 0: it does now."""
        limits = self.queue.limits
        if not limits.rate:
            return 0
        return next_token_ms(self._full_ms, limits.rate, self._burst, now_ms)

    def key_opens_ms(self, key: str, now_ms: int) -> int:
        """Returns when the rate of a limit key lets the next start; 0: it does now."""
        limits = self.queue.limits
        if not limits.rate_per_key:
            return 0
        full_ms = self._key_full_ms.get(key, 0.0)
        return next_token_ms(full_ms, limits.rate_per_key, self._key_burst, now_ms)

    # --- what starts and ends -----------------------------------------------------------

    def started(self, task: Task, now_ms: int) -> None:
        """Counts a grant: a slot, a token, a turn."""
        self.adopt(task)
        if len(self._flows) > 1:
            self._took_turn(task.spec.flow)
        if self._paced:
            self._take_tokens(task.spec.limit_key, now_ms)
        if self._limited or self._keyed:
            self.stir()  # who goes on waiting may have to be woken by the clock now

    def _take_tokens(self, key: str, now_ms: int) -> None:
        limits = self.queue.limits
        if limits.rate:
            self._full_ms = max(self._full_ms, now_ms) + 1000 / limits.rate
        if limits.rate_per_key and key:
            full_ms = max(self._key_full_ms.get(key, 0.0), now_ms)
            self._key_full_ms[key] = full_ms + 1000 / limits.rate_per_key
            if len(self._key_full_ms) > self._paces_max:
                self._forget_paces(now_ms)

    def adopt(self, task: Task) -> None:
        """Counts a task that runs."""
        self.running += 1
        key = task.spec.limit_key
        if key:
            self.running_by_key[key] = self.running_by_key.get(key, 0) + 1

    def ended(self, task: Task) -> None:
        """Counts the end of an attempt, and lets those go on that waited for its slot."""
        self.running -= 1
        limits = self.queue.limits
        if limits.concurrency and self.running + 1 >= limits.concurrency:
            self.stir()
        key = task.spec.limit_key
        if not key:
            return
        left = self.running_by_key[key] = self.running_by_key[key] - 1
        if not left:
            del self.running_by_key[key]
        if key in self.aside and left < (limits.concurrency_per_key or UNBOUNDED):
            self._put_back(key)

    def _forget_paces(self, now_ms: int) -> None:
        """Lets go of the keys whose buckets are full: they are as if they had never been."""
        self._key_full_ms = {key: ms for key, ms in self._key_full_ms.items() if ms > now_ms}
        self._paces_max = max(PACES_MIN, 2 * len(self._key_full_ms))

    # --- who waits for it ---------------------------------------------------------------

    def stir(self) -> None:
        """Has every line in which tasks wait looked at."""
        for line in self.lines.values():
            if line.queued:
                self._stirred[line.name] = None

    def set_aside(self, line: Line, lane: Lane, now_ms: int) -> None:
        """Keeps a lane whose limit key is at its limit until there is room again."""
        self.aside.setdefault(lane.key, {})[lane] = line
        self._look_at(lane.key, self.key_opens_ms(lane.key, now_ms))

    def let_go(self, lane: Lane) -> None:
        """Forgets a lane that was set aside, with its last task."""
        lanes = self.aside.get(lane.key)
        if lanes is not None and lanes.pop(lane, None) is not None and not lanes:
            del self.aside[lane.key]

    def watch(self, now_ms: int) -> None:
        """Asks for a look when the queue's rate lets the next start."""
        self._look_at("", self.opens_ms(now_ms))

    def _look_at(self, key: str, at_ms: int) -> None:
        if at_ms and self._looks.get(key, UNBOUNDED) > at_ms:
            self._looks[key] = at_ms
            self._timers.add(at_ms, GateDue(self.queue.name, key))

    def looked_at_ms(self, key: str) -> int | None:
        """Returns when it will be looked at, for a limit key or the queue's own rate."""
        return self._looks.get(key)

    def look(self, key: str) -> None:
        """Looks again at what waited for a moment."""
        self._looks.pop(key, None)
        if key:
            self._put_back(key)
        else:
            self.stir()

    def _put_back(self, key: str) -> None:
        for lane, line in self.aside.pop(key, {}).items():
            line.admit(lane)
            self._stirred[line.name] = None
