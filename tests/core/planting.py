"""How a bug is planted, and how it is judged whether a check catches it.

A bug is a function that takes pytest's monkeypatch and breaks one promise. Its name is what
somebody could have written by mistake; a check is a walk, or one named law.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from walk import Walk
from world import World

Plant = Callable[[pytest.MonkeyPatch], None]
Check = Callable[..., Any]
WALKS = 30


@dataclass(frozen=True)
class Mutant:
    """A bug, and what must catch it."""

    plant: Plant
    check: Check

    def __str__(self) -> str:
        return f"{self.plant.__name__}-{self.check.__name__}"


def walks() -> None:
    """Walks a few worlds, each to its end."""
    for seed in range(WALKS):
        walk = Walk(seed)
        walk.run(150)
        walk.finish()


def judge(check: Check) -> None:
    """Runs a check as pytest would: in a world of its own, if it wants one."""
    world = {"world": World()} if "world" in inspect.signature(check).parameters else {}
    if inspect.iscoroutinefunction(check):
        asyncio.run(check(**world))
    else:
        check(**world)


class Garden:
    """The bugs of one file, with their checks."""

    def __init__(self) -> None:
        self.mutants: list[Mutant] = []

    def caught_by(self, *checks: Check) -> Callable[[Plant], Plant]:
        """Enters a bug with each of the checks that must catch it alone."""

        def enter(plant: Plant) -> Plant:
            self.mutants += [Mutant(plant, check) for check in checks]
            return plant

        return enter


def nothing(*_args: object, **_more: object) -> None:
    """Does nothing, in place of what should."""
