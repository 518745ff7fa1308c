"""What a section of the benchmark is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.figure import Figure

T = TypeVar("T")


@dataclass(frozen=True)
class Sizes:
    """How much is measured: enough for steady figures, or so little that it takes seconds."""

    rounds: int
    tasks: int
    # One at a time.
    single: int
    # Waiting tasks.
    backlogs: tuple[int, ...]
    # Bytes of a payload, each with the share of `tasks` that are enough of them.
    payloads: tuple[tuple[int, float], ...]

    @classmethod
    def full(cls) -> Sizes:
        """What figures for people are measured with."""
        return cls(
            rounds=3,
            tasks=20_000,
            single=500,
            backlogs=(25_000, 200_000),
            payloads=((100, 1), (1_000, 1), (10_000, 0.25), (100_000, 0.05)),
        )

    @classmethod
    def quick(cls) -> Sizes:
        """Shows that the benchmark works; its figures mean nothing."""
        return cls(
            rounds=1, tasks=300, single=20, backlogs=(500,), payloads=((100, 1), (10_000, 0.1))
        )


@dataclass(frozen=True)
class Lab:
    """Where a section measures, how much, and whom it tells what comes next."""

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
    # How often it will say what comes next.
    steps: Callable[[Sizes], int]


def alternated(variants: Sequence[T], number: int) -> Sequence[T]:
    """Returns variants in an order that changes by round: what comes first is not always first."""
    return variants if number % 2 == 0 else variants[::-1]
