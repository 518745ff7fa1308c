"""How an attempt can end, and what it can say of itself: the words of machine and executors.

Child processes load this, so it imports nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Blame(IntEnum):
    """Who is to blame for a failure; numbered as FailureKind in the contract."""

    APPLICATION = 1
    TIMEOUT = 2
    WORKER_LOST = 3
    REJECTED = 4


@dataclass(frozen=True, slots=True)
class Success:
    """The attempt worked."""

    data: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The attempt did not work; the fields are those of the contract's Failure."""

    blame: Blame
    type: str
    message: str
    details: str = ""
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class Released:
    """The ticket goes back unstarted."""


Outcome = Success | Failure | Released


@dataclass(frozen=True, slots=True)
class Note:
    """What an attempt said of itself; None: nothing new."""

    fraction: float | None = None
    message: str | None = None
    checkpoint: bytes | None = None

    def over(self, older: Note | None) -> Note:
        """Returns one note that says both; where both say something, this one is right."""
        if older is None:
            return self
        return Note(
            older.fraction if self.fraction is None else self.fraction,
            older.message if self.message is None else self.message,
            older.checkpoint if self.checkpoint is None else self.checkpoint,
        )
