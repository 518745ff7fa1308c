"""Counts what happens: each committed step is added to the counters and histograms."""

from __future__ import annotations

from collections import Counter
from typing import Final

from opentelemetry.metrics import Meter

from pullwork_master.core.effects import Effects, Move
from pullwork_master.core.leases import UNSTARTED
from pullwork_master.core.model import AttemptEnd, State
from pullwork_master.core.transitions import NEXT, Event
from pullwork_master.telemetry.labels import LineLabels, labels

# Seconds. From a task that was waited for to one that waited over the weekend.
_TASK_BOUNDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    *(60.0, 300.0, 1800.0, 3600.0, 21600.0, 86400.0, 259200.0),
)
_MOMENT_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

LOST: Final = (AttemptEnd.WORKER_LOST, AttemptEnd.UNDELIVERED)


class Counts:
    """The instruments of what happens."""

    def __init__(self, meter: Meter, lines: LineLabels) -> None:
        self._lines = lines
        self._submitted = meter.create_counter(
            "pullwork.tasks.submitted", "{task}", "Tasks taken in."
        )
        self._ended = meter.create_counter("pullwork.tasks.ended", "{task}", "Tasks ended.")
        self._attempts = meter.create_counter(
            "pullwork.attempts.ended", "{attempt}", "Attempts ended, by how."
        )
        self._retries = meter.create_counter(
            "pullwork.retries", "{attempt}", "Failures that another attempt follows."
        )
        self._lost = meter.create_counter(
            "pullwork.leases.lost", "{lease}", "Leases whose worker or process died or vanished."
        )
        self._waits = meter.create_histogram(
            "pullwork.task.wait",
            "s",
            "From when a task could run to its grant.",
            explicit_bucket_boundaries_advisory=_TASK_BOUNDS,
        )
        self._runs = meter.create_histogram(
            "pullwork.attempt.duration",
            "s",
            "From a grant to the end of its attempt.",
            explicit_bucket_boundaries_advisory=_TASK_BOUNDS,
        )
        self._commits = meter.create_histogram(
            "pullwork.commit.duration",
            "s",
            "To put a step on the disk.",
            explicit_bucket_boundaries_advisory=_MOMENT_BOUNDS,
        )
        self._lags = meter.create_histogram(
            "pullwork.loop.lag",
            "s",
            "How late the master's loop was, at four looks a second.",
            explicit_bucket_boundaries_advisory=_MOMENT_BOUNDS,
        )

    def tell(self, effects: Effects, commit_s: float, now_ms: int) -> None:
        """Adds a committed step; `now_ms` is its wall clock."""
        if effects.writes:
            self._commits.record(commit_s)
        submitted = Counter(
            self._lines.pair(task.spec.queue, task.spec.type)
            for task in effects.writes.inserted.values()
        )
        for pair, count in submitted.items():
            self._submitted.add(count, labels(pair))
        if effects.moves:
            self._tell_moves(effects.moves, now_ms)

    def lag(self, lag_s: float) -> None:
        """Adds one look at the loop."""
        self._lags.record(lag_s)

    def _tell_moves(self, moves: list[Move], now_ms: int) -> None:
        ended: Counter[tuple[tuple[str, str], State]] = Counter()
        attempts: Counter[tuple[tuple[str, str], AttemptEnd]] = Counter()
        retries: Counter[tuple[str, str]] = Counter()
        for move in moves:
            pair = self._lines.pair(move.task.spec.queue, move.task.spec.type)
            if move.event is Event.GRANT:
                waited_ms = max(0, move.started_ms - move.waited_since_ms)
                self._waits.record(waited_ms / 1000, labels(pair))
            if move.end is not None:
                attempts[pair, move.end] += 1
                if move.end not in UNSTARTED:
                    self._runs.record(max(0, now_ms - move.started_ms) / 1000, labels(pair))
            if move.event is Event.BACK_OFF:
                retries[pair] += 1
            after = NEXT[move.before, move.event]
            if after.ended:
                ended[pair, after] += 1
        for (pair, state), count in ended.items():
            self._ended.add(count, labels(pair, state=state.name.lower()))
        for (pair, end), count in attempts.items():
            self._attempts.add(count, labels(pair, end=end.name.lower()))
            if end in LOST:
                self._lost.add(count, labels(pair))
        for pair, count in retries.items():
            self._retries.add(count, labels(pair))
