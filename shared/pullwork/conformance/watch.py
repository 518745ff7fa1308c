"""The rules that are kept in every scene: each call that arrives is looked at.

It only looks; what the worker is answered is the stand-in's affair.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Final

from pullwork.conformance.findings import Findings
from pullwork.conformance.issued import Issued, Session
from pullwork.v1 import master_service_pb2 as pb

# A ticket may be this old before a heartbeat must list it: the two may have crossed.
CROSSING_S: Final = 0.4
# A call under a session that is over may still have been on its way.
LATE_CALL_S: Final = 1.0
EMPTY_ANSWERS_MAX: Final = 20
REFUSED_CALLS_MAX: Final = 10
STREAMS_MAX: Final = 10


class Watch:
    """Looks at the calls of one program."""

    def __init__(self, findings: Findings, issued: dict[str, Issued], boot_ids: set[str]) -> None:
        self._findings = findings
        self._issued = issued
        self._boot_ids = boot_ids
        self._rates: dict[str, deque[float]] = defaultdict(deque)
        self.new_process()

    def new_process(self) -> None:
        """Expects a boot id that no process had before."""
        self._former_boot_ids = frozenset(self._boot_ids)
        self._boot_id = ""

    def registers(self, request: pb.RegisterRequest) -> None:
        """Looks at Register: its bounds, and whose boot id it is."""
        problems = [
            f"{field} has {size} of {unit}, and may have {least} to {most}"
            for field, size, unit, least, most in (
                ("worker_name", len(request.worker_name), "characters", 1, 128),
                ("boot_id", len(request.boot_id), "characters", 1, 64),
                ("task_types", len(request.task_types), "types", 1, 1024),
                ("queues", len(request.queues), "queues", 0, 64),
                ("slots", request.slots, "slots", 1, 10_000),
                ("look_ahead_max", request.look_ahead_max, "tickets", 0, 10_000),
            )
            if not least <= size <= most
        ]
        if problems:
            self._findings.broken("register", "; ".join(problems))
        else:
            types = ", ".join(request.task_types)
            self._findings.passed(
                "register", f"{request.worker_name!r}, {request.slots} slots, {types}"
            )
        if request.boot_id in self._former_boot_ids:
            self._findings.broken("boot-id", f"{request.boot_id!r} was an earlier process's")
        elif self._boot_id and request.boot_id != self._boot_id:
            self._findings.broken(
                "boot-id", f"was {self._boot_id!r} and is {request.boot_id!r} in the same process"
            )
        self._boot_id = request.boot_id
        self._boot_ids.add(request.boot_id)
        self.tokens("Register", (line.lease_token for line in request.held))

    def asks(self, session: Session, credit: int, request_id: str, settled: Iterable[str]) -> None:
        """Looks at a request for tickets: what is held and asked for must have room."""
        ending = set(settled)
        held = sum(
            it.held and it.session_id == session.id and not it.reporting and token not in ending
            for token, it in self._issued.items()
        )
        parked = sum(asked for other, asked in session.parked.items() if other != request_id)
        if held + parked + credit > session.room:
            self._findings.broken(
                "credit",
                f"asked for {credit} while it held {held} and had asked for {parked}; "
                f"it has room for {session.room}",
            )
        else:
            self._findings.passed(
                "credit", f"asked for {credit} of {session.room}, and never too much"
            )

    def answered_empty(self, at: float) -> None:
        """Looks how often there was nothing to give."""
        count = self._rate("empty", at)
        if count > EMPTY_ANSWERS_MAX:
            self._findings.broken("no-busy-loop", f"{count} empty answers within a second")

    def refused(self, method: str, at: float) -> None:
        """Looks how soon a refused call is repeated."""
        count = self._rate(method, at)
        if count > REFUSED_CALLS_MAX:
            self._findings.broken("backoff", f"{count} refused calls of {method} within a second")

    def opens_stream(self, at: float) -> None:
        """Looks how soon streams follow each other."""
        count = self._rate("stream", at)
        if count > STREAMS_MAX:
            self._findings.broken("stream-reopen", f"opened {count} streams within a second")

    def beats(self, session: Session, request: pb.HeartbeatRequest, at: float) -> None:
        """Looks at an inventory."""
        listed = {line.lease_token for line in request.held}
        self.tokens("Heartbeat", listed)
        for token, it in self._issued.items():
            if it.held and it.session_id == session.id and it.given_at is not None:
                age_s = at - it.given_at
                if token in listed:
                    it.listed_at = it.listed_at or at
                    self._findings.passed("inventory", f"{len(listed)} of {len(listed)} listed")
                elif age_s > CROSSING_S and not it.reporting:
                    self._findings.broken(
                        "inventory", f"a ticket that came {age_s:.1f} s before was not listed"
                    )

    def reports(self, outcome: pb.Outcome) -> None:
        """Looks at one outcome before it gets its verdict."""
        token = outcome.lease_token
        self.tokens("ReportResult", [token])
        it = self._issued.get(token)
        if it is None:
            return
        if it.let_go_at is not None:
            kind = outcome.WhichOneof("outcome")
            self._findings.broken(it.let_go_rule, f"reported {kind} of what it was to let go of")
        elif it.verdict_at is not None:
            self._findings.broken("report-once", "reported an outcome again after its verdict")
        elif it.outcomes and it.outcomes[0] != outcome:
            self._findings.broken("report-repeat", "the repeated report had another outcome")

    def uses_old_session(self, method: str, late_s: float) -> None:
        """Looks at a call under a session that another followed `late_s` seconds ago."""
        if late_s > LATE_CALL_S:
            self._findings.broken(
                "old-session", f"called {method} {late_s:.1f} s after that session was over"
            )

    def tokens(self, method: str, tokens: Iterable[str]) -> None:
        """Looks whether tokens are ours."""
        for token in tokens:
            if token in self._issued:
                self._findings.passed("tokens", "each came back as it was given")
            else:
                self._findings.broken(
                    "tokens", f"{method} brought {token[:80]!r}, which is no token"
                )

    def _rate(self, what: str, at: float) -> int:
        """Counts how often something happened within the last second."""
        times = self._rates[what]
        times.append(at)
        while times[0] < at - 1.0:
            times.popleft()
        return len(times)


def now() -> float:
    """Returns the event loop's time."""
    return asyncio.get_running_loop().time()
