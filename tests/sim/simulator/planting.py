"""How a bug is planted in a simulated world, and which seeds can meet it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from simulator.profile import Profile

# By then a bug that any seed can meet has been met.
SEEDS_MAX: Final = 2_000

Patch = Callable[[Any, str, Any], None]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug: `plant(patch)` puts it in by `patch(owner, name, wrong)`.

    `needs` are what a seed must have drawn to be worth trying: faults, faults of calls, deeds,
    or "gentle", "plain" and "limits".
    """

    plant: Callable[[Patch], None]
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it does wrong, in words."""
        return self.plant.__name__.replace("_", " ")

    def may_meet(self, profile: Profile) -> bool:
        """Whether a seed of this frame can meet the bug at all."""
        drawn = {*profile.faults, *profile.call_faults, *profile.deeds}
        drawn |= {"gentle"} if profile.gentle else {"hostile"}
        drawn |= {"limits"} if profile.limits else set()
        drawn |= {"plain"} if profile.plain_workers else set()
        return drawn.issuperset(self.needs)


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """Puts a bug in, and takes it out again."""
    right: list[tuple[Any, str, Any]] = []

    def patch(owner: Any, name: str, wrong: Any) -> None:
        right.append((owner, name, owner.__dict__[name]))
        setattr(owner, name, wrong)

    try:
        mutant.plant(patch)
        yield
    finally:
        for owner, name, value in reversed(right):
            setattr(owner, name, value)
