"""What the stand-in knows: sessions that it began and tickets that it gave."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1.worker_pb2 import Ticket


@dataclass
class Issued:
    """A ticket, and what became of it. Times are those of the event loop."""

    ticket: Ticket
    session_id: str = ""
    given_at: float | None = None
    # When a heartbeat first listed it.
    listed_at: float | None = None
    # The rule by which the worker must let go of it, and when it was told.
    let_go_rule: str = ""
    let_go_at: float | None = None
    # Every outcome that came for it.
    outcomes: list[pb.Outcome] = field(default_factory=list)
    verdict_at: float | None = None
    reporting: bool = False

    def arrived(self) -> bool:
        """Whether the worker surely has it, or had it."""
        return self.listed_at is not None or bool(self.outcomes)

    def reported(self) -> bool:
        """Whether an outcome came for it."""
        return bool(self.outcomes)

    def settled(self) -> bool:
        """Whether the worker has the verdict on its outcome."""
        return self.verdict_at is not None

    @property
    def held(self) -> bool:
        """Whether the worker must count it as its own."""
        return self.given_at is not None and self.verdict_at is None and self.let_go_at is None


@dataclass
class Session:
    """One answer to Register."""

    id: str
    request: pb.RegisterRequest
    began_at: float
    over_at: float | None = None
    streams: int = 0
    open: asyncio.Queue[pb.TaskIncomingResponse | None] | None = None
    # request_id → how many it asks for, while the call is parked.
    parked: dict[str, int] = field(default_factory=dict)

    @property
    def room(self) -> int:
        """How many tickets it may hold."""
        return self.request.slots + self.request.look_ahead_max


@dataclass(frozen=True)
class Call:
    """A call that arrived."""

    at: float
    method: str
    request: object
