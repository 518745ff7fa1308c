"""Between the worker's words and the core's, as the wire layers of both translate."""

from __future__ import annotations

from pullwork_master.core import commands as c
from pullwork_master.core.limits import Policy
from pullwork_master.core.model import Failure as MasterFailure
from pullwork_master.core.model import FailureKind, Grant
from pullwork_worker.machine import instructions as do
from pullwork_worker.machine.ticket import Failure, Outcome, Success, Ticket


def held_of(line: do.HeldLine) -> c.Held:
    """Returns a line of a worker's inventory as the core takes it."""
    note = line.note
    if note is None:
        return c.Held(line.token, line.started)
    return c.Held(line.token, line.started, note.fraction, note.message, note.checkpoint)


def pace_of(policy: Policy, interval_ms: int) -> dict[str, float]:
    """Returns an interval, and the lease that goes with it, as the machine is told of them."""
    return {"interval_s": interval_ms / 1000, "lease_s": policy.lease_ms(interval_ms) / 1000}


def outcome_of(token: str, outcome: Outcome) -> c.Outcome:
    """Returns an outcome as the master's wire layer would make it."""
    if isinstance(outcome, Success):
        return c.Outcome(token, c.Success(outcome.data, outcome.content_type), b"s" + outcome.data)
    if isinstance(outcome, Failure):
        kind = FailureKind(int(outcome.blame))
        failure = MasterFailure(kind, outcome.type, outcome.message, "", outcome.retryable)
        return c.Outcome(token, failure, f"f{kind}{outcome.message}".encode())
    return c.Outcome(token, c.Released(), b"released")


def ticket_of(grant: Grant) -> Ticket:
    """Returns a grant as the machine takes it."""
    spec = grant.spec
    timeout_s = spec.execution_timeout_ms / 1000 if spec.execution_timeout_ms else None
    return Ticket(grant.token, spec.type, timeout_s, (spec.id, grant.attempt))
