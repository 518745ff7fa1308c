"""A ticket's life inside a worker, from its arrival until the master's verdict on its outcome.

It knows nothing of slots, sessions or clocks: `Desk` moves tickets, and only through `NEXT`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from pullwork_worker.outcome import Blame, Failure, Note, Outcome, Released, Success

__all__ = [
    "KILLABLE",
    "LINED_UP",
    "NEXT",
    "Blame",
    "Event",
    "Failure",
    "Kind",
    "Note",
    "Outcome",
    "Released",
    "State",
    "Success",
    "Ticket",
]


class State(IntEnum):
    """Where a ticket is."""

    WAITING = 1  # in the worker, without a slot
    GIVEN = 2  # in a slot's lane, behind its head
    RUNNING = 3  # the head of a lane
    STOPPING = 4  # the head of a lane, told to end
    ENDED = 5  # its outcome waits to be reported
    SENT = 6  # its outcome is in a report that is on its way
    GONE = 7  # answered, or worth nothing any more


class Event(IntEnum):
    """What happens to a ticket."""

    GIVE = 1
    BEGIN = 2
    TAKE_BACK = 3
    STOP = 4
    END = 5
    SEND = 6
    LOSE = 7
    ANSWER = 8
    DROP = 9


# The whole life of a ticket. A presumed head goes back to WAITING (TAKE_BACK) when its child
# died before claiming it; LOSE is a report that got no answer.
NEXT: Final[dict[tuple[State, Event], State]] = {
    (State.WAITING, Event.GIVE): State.GIVEN,
    (State.WAITING, Event.END): State.ENDED,
    (State.WAITING, Event.DROP): State.GONE,
    (State.GIVEN, Event.BEGIN): State.RUNNING,
    (State.GIVEN, Event.TAKE_BACK): State.WAITING,
    (State.RUNNING, Event.TAKE_BACK): State.WAITING,
    (State.RUNNING, Event.STOP): State.STOPPING,
    (State.RUNNING, Event.END): State.ENDED,
    (State.STOPPING, Event.TAKE_BACK): State.WAITING,
    (State.STOPPING, Event.END): State.ENDED,
    (State.STOPPING, Event.DROP): State.GONE,
    (State.ENDED, Event.SEND): State.SENT,
    (State.ENDED, Event.DROP): State.GONE,
    (State.SENT, Event.LOSE): State.ENDED,
    (State.SENT, Event.ANSWER): State.GONE,
    (State.SENT, Event.DROP): State.GONE,
}


class Kind(IntEnum):
    """Which executor runs a type."""

    CHILD = 1
    LOOP = 2
    THREAD = 3
    COMMAND = 4
    INSTANCE = 5


# A child or a command can be killed; a coroutine or a thread can only be asked. An instance is let
# go of at once: its program outlives its ticket.
KILLABLE: Final = frozenset({Kind.CHILD, Kind.COMMAND})
# A child and the loop take attempts ahead, and can tell which of them they have not begun.
LINED_UP: Final = frozenset({Kind.CHILD, Kind.LOOP})


@dataclass(slots=True, eq=False)
class Ticket:
    """One attempt in the worker's hands.

    `work` is what an executor gets; the machine never looks inside. `started_at` and
    `arrived_at` are seconds of the caller's clock. `wanted` is false once nobody waits for
    the outcome: the attempt only has to end. `substituted` says that the master refused the
    outcome and a failure stands in its place.
    """

    token: str
    type: str
    timeout_s: float | None
    work: object
    state: State = State.WAITING
    slot: int = -1
    arrived_at: float = 0.0
    started_at: float = 0.0
    begun: bool = False
    wanted: bool = True
    outcome: Outcome | None = None
    substituted: bool = False
    note: Note | None = None
    sending: Note | None = None

    def move(self, event: Event) -> None:
        """Takes one step of its life."""
        self.state = NEXT[self.state, event]

    def say(self, note: Note) -> None:
        """Keeps a note for the next heartbeat."""
        self.note = note.over(self.note)

    def take_note(self) -> Note | None:
        """Hands the note out to a heartbeat; it is kept until `note_arrived`."""
        self.sending, self.note = self.note, None
        return self.sending

    def note_arrived(self) -> None:
        """Forgets the note that a heartbeat carried."""
        self.sending = None

    def note_lost(self) -> None:
        """Keeps the note of a heartbeat that got no answer for the next one."""
        if self.sending is not None:
            self.note = self.sending if self.note is None else self.note.over(self.sending)
            self.sending = None

    @property
    def reportable(self) -> bool:
        """False while a failed attempt's last checkpoint is not on its way's end.

        The next attempt starts from the checkpoint, so it has to be there first.
        """
        if isinstance(self.outcome, Success):
            return True
        notes = (self.note, self.sending)
        return not any(note is not None and note.checkpoint is not None for note in notes)
