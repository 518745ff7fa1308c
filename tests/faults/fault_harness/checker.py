"""Judges a history, in the manner of Jepsen's total-queue: what went in must come out, once.

lost            acknowledged, and its end is not there or was never told
accepted twice  two different ends, or a result of an attempt whose lease did not stand
unexpected      an end, or a result, of something that nobody submitted or executed
recovered       never acknowledged, and there all the same: allowed, and counted
over one        executions of a task beyond its first: allowed, and counted
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fault_harness.executions import Execution, read_executions
from fault_harness.history import End, read_history

ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


@dataclass
class Seen:
    """All that was noted, and what the master kept in the end."""

    attempted: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    ends: defaultdict[str, set[End]] = field(default_factory=lambda: defaultdict(set))
    executions: list[Execution] = field(default_factory=list)
    kept: dict[str, End] = field(default_factory=dict)

    @classmethod
    def read(cls, history: Path, kept: Iterable[End]) -> Seen:
        """Reads the files of a trial; `kept` is what the master answers when asked at its end."""
        seen = cls()
        for line in read_history(history):
            if line["what"] == "ended":
                end = End(**line["end"])
                seen.ends[end.task_id].add(end)
            elif line["what"] in ("attempted", "acknowledged"):
                known: set[str] = getattr(seen, line["what"])
                known.update(line["ids"])
        seen.executions = list(read_executions(history.parent))
        seen.kept = {end.task_id: end for end in kept}
        return seen


@dataclass(frozen=True)
class Account:
    """The judgement; each list holds sentences about single tasks."""

    tasks: int
    lost: tuple[str, ...]
    accepted_twice: tuple[str, ...]
    unexpected: tuple[str, ...]
    recovered: int
    over_one: int

    @property
    def problems(self) -> tuple[str, ...]:
        """What must not be."""
        return self.lost + self.accepted_twice + self.unexpected


def check(seen: Seen, *, over: bool = True) -> Account:
    """Judges what was seen; where a trial broke off, not all can have ended: `over` is False."""
    runs = Counter(execution.task_id for execution in seen.executions)
    return Account(
        tasks=len(seen.acknowledged),
        lost=tuple(_lost(seen, over)),
        accepted_twice=tuple(_accepted_twice(seen)),
        unexpected=tuple(_unexpected(seen)),
        recovered=len((seen.attempted - seen.acknowledged) & seen.kept.keys()),
        over_one=sum(count - 1 for count in runs.values()),
    )


def _lost(seen: Seen, over: bool) -> Iterable[str]:
    for task_id in sorted(seen.acknowledged):
        kept = seen.kept.get(task_id)
        if kept is None:
            yield f"{task_id}: lost: acknowledged, and the master does not know it"
        elif over and kept.state not in ENDED:
            yield f"{task_id}: lost: acknowledged, and it is {kept.state} when all should be over"
        elif over and not seen.ends[task_id]:
            yield f"{task_id}: lost: it ended, and the client was never told"


def _accepted_twice(seen: Seen) -> Iterable[str]:
    for task_id, ends in sorted(seen.ends.items()):
        if len(ends) > 1:
            told = ", ".join(f"{end.state} {end.result} at {end.revision}" for end in ends)
            yield f"{task_id}: accepted twice: {told}"
        kept = seen.kept.get(task_id)
        for end in ends:
            if kept is not None and kept.state in ENDED and kept.revision != end.revision:
                yield (
                    f"{task_id}: accepted twice: told at revision {end.revision}, "
                    f"kept at {kept.revision}"
                )
            if end.result is not None and end.result.split(":")[0] != str(end.attempt):
                yield (
                    f"{task_id}: accepted from a stale lease: the result {end.result} "
                    f"is not of attempt {end.attempt}"
                )


def _unexpected(seen: Seen) -> Iterable[str]:
    results = {
        (execution.task_id, execution.result)
        for execution in seen.executions
        if execution.ended is not None
    }
    for task_id in sorted((seen.ends.keys() | seen.kept.keys()) - seen.attempted):
        yield f"{task_id}: unexpected: nobody submitted it"
    for task_id, ends in sorted(seen.ends.items()):
        for end in ends:
            if end.result is not None and (task_id, end.result) not in results:
                yield f"{task_id}: unexpected: no execution returned {end.result}"
