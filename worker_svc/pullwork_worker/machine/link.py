"""The worker's contact with its master: which session it has and when to speak next.

It holds times and what is on its way; it knows nothing of tickets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from pullwork_worker.machine.instructions import (
    CloseStream,
    Heartbeat,
    Instruction,
    OpenStream,
    Register,
    Report,
    RequestWork,
)

# No event on the stream for this many intervals: the master is silent.
SILENT_INTERVALS: Final = 3
# Progress is told between two heartbeats too, but not more often than this.
NOTE_GAP_S: Final = 1.0


class Phase(IntEnum):
    """Whether there is a session."""

    OUT = 1  # none; Register is due at `retry_at`
    REGISTERING = 2  # Register is on its way
    IN = 3
    LEAVING = 4  # Deregister is on its way, or nothing is left to do
    GONE = 5


@dataclass(slots=True)
class Backoff:
    """Waits that double, each less a random share of up to a half of it."""

    first_s: float
    most_s: float
    failures: int = 0

    def next(self, roll: float) -> float:
        """Returns the next wait in seconds; `roll` is a random number from 0 to 1."""
        wait_s = min(self.most_s, self.first_s * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return wait_s * (1.0 - 0.5 * roll)

    def reset(self) -> None:
        """Starts again from the first wait."""
        self.failures = 0


def _call_backoff() -> Backoff:
    return Backoff(first_s=0.1, most_s=2.0)


@dataclass(slots=True)
class Link:
    """What is known of the session, what is on its way, and when what is due.

    Times are seconds of the caller's clock; None: not due. A report or request that got no
    answer stays the one on its way and is repeated as it is.
    """

    phase: Phase = Phase.OUT
    session_id: str = ""
    interval_s: float = 5.0
    lease_s: float = 30.0
    contact_at: float = 0.0
    event_at: float = 0.0
    retry_at: float | None = None
    reopen_at: float | None = None
    heartbeat_at: float | None = None
    heartbeat_sent_at: float = float("-inf")
    report_again_at: float | None = None
    request_again_at: float | None = None
    register: Register | None = None
    heartbeat: Heartbeat | None = None
    report: Report | None = None
    request: RequestWork | None = None
    stopped_for_silence: bool = False
    register_backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.2, most_s=3.0))
    stream_backoff: Backoff = field(default_factory=_call_backoff)
    report_backoff: Backoff = field(default_factory=_call_backoff)
    request_backoff: Backoff = field(default_factory=_call_backoff)

    def enter(self, session_id: str, interval_s: float, lease_s: float, now: float) -> OpenStream:
        """Takes a new session up."""
        self.phase = Phase.IN
        self.session_id = session_id
        self.interval_s, self.lease_s = interval_s, lease_s
        self.heard(now)
        self.event_at = now
        self.heartbeat_at = now + interval_s
        for backoff in (self.register_backoff, self.report_backoff, self.request_backoff):
            backoff.reset()
        return OpenStream(session_id)

    def leave(self, phase: Phase) -> None:
        """Lets go of the session and of everything that is on its way under it."""
        self.phase = phase
        self.session_id = ""
        self.heartbeat = None
        self.report = None
        self.request = None
        self.reopen_at = self.heartbeat_at = None
        self.report_again_at = self.request_again_at = None

    def heard(self, now: float) -> None:
        """Notes that the master answered something."""
        self.contact_at = now
        self.stopped_for_silence = False

    def in_contact(self, now: float) -> bool:
        """Returns whether there is a session, and its master answered not long ago."""
        silent_at = self.contact_at + SILENT_INTERVALS * self.interval_s
        return self.phase is Phase.IN and now < silent_at

    def reserved(self) -> int:
        """Returns how many tickets are asked for already."""
        parked = self.request.tickets_max if self.request is not None else 0
        return parked + (self.report.tickets_max if self.report is not None else 0)

    def lost_for(self, now: float) -> float | None:
        """Returns the seconds since the last contact, once, when they exceed the lease."""
        # Compared as in `next_at`: with a difference instead of a sum, rounding could make a
        # moment due that is not.
        if now < self.contact_at + self.lease_s or self.stopped_for_silence:
            return None
        self.stopped_for_silence = True
        return now - self.contact_at

    def register_due(self, now: float) -> bool:
        """Returns whether to register now, and notes that it is done."""
        if self.phase is not Phase.OUT or self.retry_at is None or self.retry_at > now:
            return False
        self.retry_at = None
        self.phase = Phase.REGISTERING
        return True

    def heartbeat_due(self, now: float) -> bool:
        """Returns whether to send a heartbeat now, and sets the time of the next."""
        if self.phase is not Phase.IN or self.heartbeat_at is None or self.heartbeat_at > now:
            return False
        if self.heartbeat is not None:
            # What is new meanwhile does not wait for another interval, which may be long.
            self.heartbeat_at = now + min(self.interval_s, NOTE_GAP_S)
            return False
        self.heartbeat_at = now + self.interval_s
        self.heartbeat_sent_at = now
        return True

    def pace(self, interval_s: float, lease_s: float) -> None:
        """Speaks as often as the master said last, and counts its silence by that."""
        at = self.heartbeat_at
        # One that was brought forward stays so.
        if at is not None and at >= self.heartbeat_sent_at + min(self.interval_s, interval_s):
            self.heartbeat_at = self.heartbeat_sent_at + interval_s
        self.interval_s, self.lease_s = interval_s, lease_s

    def heartbeat_soon(self, now: float) -> None:
        """Brings the next heartbeat forward: there is something new to tell."""
        if self.heartbeat_at is not None:
            soon = max(now, self.heartbeat_sent_at + NOTE_GAP_S)
            self.heartbeat_at = min(self.heartbeat_at, soon)

    def repeats_due(self, now: float) -> Iterator[Instruction]:
        """Yields what is to be sent again, and the stream if it is to be opened again."""
        if self.phase is not Phase.IN:
            return
        silent = now >= self.event_at + SILENT_INTERVALS * self.interval_s
        if self.reopen_at is None and silent:
            yield CloseStream()
            self.reopen_at = now
        if self.reopen_at is not None and self.reopen_at <= now:
            self.reopen_at = None
            self.event_at = now
            yield OpenStream(self.session_id)
        if self.report_again_at is not None and self.report_again_at <= now:
            self.report_again_at = None
            if self.report is not None:
                yield self.report
        if self.request_again_at is not None and self.request_again_at <= now:
            self.request_again_at = None
            if self.request is not None:
                yield self.request

    def next_at(self) -> float | None:
        """Returns when the next thing is due."""
        times: list[float | None] = []
        if self.phase is Phase.OUT:
            times.append(self.retry_at)
        if self.phase is Phase.IN:
            silent_at = self.event_at + SILENT_INTERVALS * self.interval_s
            times += [
                silent_at if self.reopen_at is None else self.reopen_at,
                self.heartbeat_at,
                self.report_again_at,
                self.request_again_at,
            ]
        if self.phase < Phase.LEAVING and not self.stopped_for_silence:
            times.append(self.contact_at + self.lease_s)
        return min((at for at in times if at is not None), default=None)
