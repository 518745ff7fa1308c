"""A measured figure: the values of its rounds, of which the median counts."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Figure:
    """One figure, measured in several rounds; `part` says of what it is a part, if it is one."""

    what: str
    unit: str
    values: tuple[float, ...]
    part: str = ""

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError(f"{self.what}: a figure needs at least one round")

    @property
    def name(self) -> str:
        """What it is, in one line."""
        return f"{self.what}: {self.part}" if self.part else self.what

    @property
    def median(self) -> float:
        """The value that stands for all."""
        return median(self.values)

    @property
    def middle(self) -> str:
        """The median as people read it."""
        return readable(self.median)

    @property
    def spread(self) -> str:
        """The least and the largest value."""
        return f"{readable(min(self.values))} .. {readable(max(self.values))}"


class Rounds:
    """Gathers values round by round, in the order in which figures first came."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str, str], list[float]] = {}

    def add(self, what: str, unit: str, value: float, part: str = "") -> None:
        """Adds the value of one round."""
        self._values.setdefault((what, unit, part), []).append(value)

    def drop(self, what: str) -> None:
        """Forgets what was measured of a thing."""
        self._values = {key: it for key, it in self._values.items() if key[0] != what}

    def figures(self) -> list[Figure]:
        """Returns all figures."""
        return [
            Figure(what, unit, tuple(values), part)
            for (what, unit, part), values in self._values.items()
        ]


def readable(value: float) -> str:
    """Returns a number with three digits that count, and thousands with a comma."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def share(values: list[float], percent: float) -> float:
    """Returns the value below which so many percent of all lie (nearest rank)."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))]
