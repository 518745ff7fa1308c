"""What the machine tells its runner to do. Whatever is a call is answered by a stimulus that
carries the same object back, so that a late answer to an earlier call is known as such."""

from __future__ import annotations

from dataclasses import dataclass

from pullwork_worker.machine.ticket import Kind, Note, Outcome, Ticket


@dataclass(frozen=True, slots=True)
class HeldLine:
    """One line of the inventory."""

    token: str
    started: bool
    note: Note | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Register:
    """Call Register with what is held."""

    held: tuple[HeldLine, ...]


@dataclass(frozen=True, slots=True, eq=False)
class OpenStream:
    """Open the notification stream; an earlier one ends."""

    session_id: str


@dataclass(frozen=True, slots=True, eq=False)
class CloseStream:
    """End the notification stream."""


@dataclass(frozen=True, slots=True, eq=False)
class Heartbeat:
    """Call Heartbeat."""

    session_id: str
    held: tuple[HeldLine, ...]
    slots_busy: int
    draining: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class RequestWork:
    """Call RequestTask, parked."""

    session_id: str
    tickets_max: int
    request_id: str


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """Call ReportResult."""

    session_id: str
    outcomes: tuple[tuple[str, Outcome], ...]
    tickets_max: int
    request_id: str


@dataclass(frozen=True, slots=True, eq=False)
class CancelCalls:
    """Forget the calls of this session that are on their way (or only the parked request)."""

    only_request: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Deregister:
    """Call Deregister, once, whatever comes of it."""

    session_id: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Run these in a slot, one after the other."""

    slot: int
    tickets: tuple[Ticket, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TakeBack:
    """Take out of a slot what surely has not begun; answered by `taken_back`.

    `kind` is the executor of the slot's lane.
    """

    slot: int
    kind: Kind


@dataclass(frozen=True, slots=True, eq=False)
class Stop:
    """Ask the attempt in a slot to end."""

    slot: int
    ticket: Ticket
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Kill:
    """End the attempt in a slot by force."""

    slot: int
    ticket: Ticket


@dataclass(frozen=True, slots=True, eq=False)
class Stuck:
    """Nothing to do but to say so: the attempt does not end, and its slot stays occupied."""

    slot: int
    ticket: Ticket


@dataclass(frozen=True, slots=True, eq=False)
class Exit:
    """End the process."""

    code: int
    reason: str


Instruction = (
    Register
    | OpenStream
    | CloseStream
    | Heartbeat
    | RequestWork
    | Report
    | CancelCalls
    | Deregister
    | Start
    | TakeBack
    | Stop
    | Kill
    | Stuck
    | Exit
)
