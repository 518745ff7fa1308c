"""What an executor gets, what it tells, and how both are said. Children load it: no gRPC here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pullwork_worker.outcome import Failure, Note, Outcome

if TYPE_CHECKING:
    from pullwork_worker.machine.ticket import Ticket

# One end of an attempt: slot, token, outcome, seconds it ran.
End = tuple[int, str, Outcome, float]


class Work(NamedTuple):
    """What one attempt is to do; plain values only, so that it passes through a pipe."""

    token: str
    type: str
    task_id: str
    attempt: int
    queue: str
    owner: str
    payload: bytes
    content_type: str
    headers: dict[str, str]
    checkpoint: bytes
    # The last attempt before that may have begun; 0: none.
    former: int = 0


class Sink(Protocol):
    """Where executors tell what they meet; on the loop's thread only."""

    def ended(self, ends: Sequence[End]) -> None:
        """Attempts ended, in this order."""

    def noted(self, token: str, note: Note) -> None:
        """An attempt said something of itself."""

    def child_ready(self, slot: int) -> None:
        """A slot's child process takes work."""

    def child_gone(self, slot: int, unclaimed: Collection[str], evidence: Failure) -> None:
        """A slot's child process ended; it began none of the unclaimed."""

    def crash(self, error: BaseException) -> None:
        """The executor has a bug and can't go on."""


class Executor(Protocol):
    """Runs attempts in slots."""

    def start(self, slot: int, tickets: Sequence[Ticket]) -> None:
        """Runs these one after the other; more than one only of kinds that have lanes."""

    def take_back(self, slot: int) -> list[str]:
        """Takes back what surely has not begun in a slot; returns the tokens, in order."""

    def stop(self, slot: int, ticket: Ticket) -> None:
        """Asks the attempt to end."""

    def kill(self, slot: int, ticket: Ticket) -> None:
        """Ends the attempt by force."""

    async def close(self) -> None:
        """Ends everything at once and waits for it."""
