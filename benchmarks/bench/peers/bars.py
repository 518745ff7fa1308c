"""What our own figures are held against: ratios to the peers', in the same round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.figure import Figure, readable
from bench.peers import contest
from bench.peers.catalogue import CELERY, GEARMAN, HUEY, PROCRASTINATE


@dataclass(frozen=True)
class Bar:
    """A ratio of two figures, and what it should be."""

    what: str
    unit: str
    of: str
    to: str
    bar: float
    hope: float
    # Of latency the less is the better.
    at_most: bool = False

    def held(self, ratio: float) -> bool:
        """Says whether a ratio passes the bar."""
        return ratio <= self.bar if self.at_most else ratio >= self.bar


def _throughput(name: str, bar: float, hope: float) -> Bar:
    what = f"end-to-end throughput ÷ {name}"
    return Bar(what, contest.THROUGHPUT, contest.OURS, name, bar, hope)


BARS: Final = (
    _throughput(GEARMAN.name, 1.0, 2),
    _throughput(HUEY.name, 6, 10),
    _throughput(CELERY.name, 22, 40),
    _throughput(PROCRASTINATE.name, 35, 60),
    Bar(
        "process executor ÷ coroutine executor",
        contest.THROUGHPUT,
        contest.OURS_ISOLATED,
        contest.OURS,
        0.5,
        0.8,
    ),
    Bar(
        f"submit from 64 coroutines ÷ {HUEY.name}",
        contest.SUBMIT,
        contest.OURS,
        HUEY.name,
        1.5,
        4,
    ),
    Bar(
        f"latency of one task, p50 ÷ {CELERY.name}",
        contest.P50,
        contest.OURS,
        CELERY.name,
        1.0,
        0.5,
        at_most=True,
    ),
)


def ratio(bar: Bar, figures: Sequence[Figure]) -> Figure | None:
    """Returns the ratio round by round; None if the peer was not measured."""
    of, to = (
        next((it for it in figures if (it.what, it.unit) == (name, bar.unit)), None)
        for name in (bar.of, bar.to)
    )
    if of is None or to is None:
        return None
    values = tuple(ours / theirs for ours, theirs in zip(of.values, to.values, strict=True))
    return Figure(bar.what, "ratio", values)


def rows(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """Returns the table of the bars, its head first."""
    found: list[tuple[str, ...]] = [("what", "bar", "hope", "measured", "least .. largest", "")]
    for bar in BARS:
        sign = "≤" if bar.at_most else "≥"
        about = (bar.what, f"{sign} {readable(bar.bar)}", readable(bar.hope))
        measured = ratio(bar, figures)
        if measured is None:
            found.append((*about, "-", "-", "not measured"))
        else:
            told = "holds" if bar.held(measured.median) else "missed"
            found.append((*about, measured.middle, measured.spread, told))
    return found


def ranking(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """Returns the table of all systems, a column for each figure."""
    units = (contest.THROUGHPUT, contest.SUBMIT, contest.P50, contest.P99, contest.CPU)
    medians = {(it.what, it.unit): it.middle for it in figures}
    names = list(dict.fromkeys(it.what for it in figures))
    body = [(name, *(medians.get((name, unit), "-") for unit in units)) for name in names]
    return [("system", *units), *body]
