"""What a section of the benchmark is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.figure import Figure


@dataclass(frozen=True)
class Sizes:
    """How much is measured: enough for steady figures, or so little that it takes seconds."""

    rounds: int
    tasks: int
    # One at a time.
    single: int

    @classmethod
    def full(cls) -> Sizes:
        """What figures for people are measured with."""
        return cls(rounds=3, tasks=20_000, single=500)

    @classmethod
    def quick(cls) -> Sizes:
        """Shows that the benchmark works; its figures mean nothing."""
        return cls(rounds=1, tasks=400, single=20)


@dataclass(frozen=True)
class Lab:
    """Where a section measures, how much, and whom it tells how far it is."""

    folder: Path
    sizes: Sizes
    step: Callable[[str], None]


@dataclass(frozen=True)
class Section:
    """Figures that belong together."""

    name: str
    title: str
    about: str
    measure: Callable[[Lab], list[Figure]]
    # What `step` will be told, so many times.
    steps: Callable[[Sizes], int]


def alternated(variants: list[str], number: int) -> list[str]:
    """Returns variants in an order that changes by round: what comes first is not always first."""
    return variants if number % 2 == 0 else variants[::-1]
