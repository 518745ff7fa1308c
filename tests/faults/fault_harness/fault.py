"""What every fault is: something done to a running system, and the law that must hold then."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from fault_harness.bench import Bench
from fault_harness.fleet import BRISK, Settings


@dataclass(frozen=True)
class Scale:
    """How much of it: in short, or with the full numbers."""

    full: bool = False
    # Tests say how much is enough for them.
    times: int = 0

    def pick(self, short: int, full: int) -> int:
        """Chooses a count."""
        return self.times or (full if self.full else short)


class Missing(Exception):
    """Something that the fault needs is not on this machine; the text says what to do."""


class Fault(ABC):
    """One fault. `bound_s`, where there is one, bounds each recovery."""

    name: ClassVar[str]
    law: ClassVar[str]

    def __init__(self, scale: Scale) -> None:
        self.scale = scale

    def settings(self) -> Settings:
        """Says which settings the master runs with."""
        return BRISK

    def bound_s(self) -> float | None:
        """Says how long detection, or recovery, may take."""
        return None

    def check_machine(self) -> None:  # noqa: B027 - most faults need nothing
        """Raises Missing if the fault can't be made on this machine."""

    @abstractmethod
    async def inject(self, bench: Bench) -> None:
        """Does the harm."""

    @abstractmethod
    async def heal(self, bench: Bench) -> None:
        """Takes it back."""

    @abstractmethod
    async def trial(self, bench: Bench) -> None:
        """Runs the whole trial on a fresh bench, and notes what it finds."""
