"""Short words for stories about the worker's machine."""

from __future__ import annotations

from typing import TypeVar

from pullwork_worker.machine import (
    Blame,
    Failure,
    Instruction,
    Kind,
    Machine,
    Success,
    Ticket,
)
from pullwork_worker.machine import instructions as do

I = TypeVar("I", bound=Instruction)  # noqa: E741
DONE = Success(b"1", "application/json")
DEATH = Failure(Blame.WORKER_LOST, "died", "the process died")


def made(slots: int = 2, look_ahead_max: int = 100, kind: Kind = Kind.CHILD) -> Machine:
    return Machine(
        {"job": kind, "other": kind},
        slots=slots,
        look_ahead_max=look_ahead_max,
        stop_grace_s=1.0,
        drain_grace_s=30.0,
    )


def only(kind: type[I], instructions: list[Instruction]) -> I:
    found = [it for it in instructions if isinstance(it, kind)]
    assert len(found) == 1, instructions
    return found[0]


def none(kind: type[Instruction], instructions: list[Instruction]) -> bool:
    return not any(isinstance(it, kind) for it in instructions)


def enter(machine: Machine, now: float = 0.0) -> list[Instruction]:
    """Registers, with every slot ready; returns what follows."""
    register = only(do.Register, machine.start(now))
    for slot in machine.desk.lanes.slots:
        machine.child_ready(slot.index, now)
    return machine.registered(register, session_id="s1", interval_s=5, lease_s=30, kept=(), now=now)


def tickets(*tokens: str, type: str = "job", timeout_s: float | None = None) -> list[Ticket]:
    return [Ticket(token, type, timeout_s, None) for token in tokens]


def end(machine: Machine, *tokens: str, now: float, run_s: float = 9.0) -> list[Instruction]:
    slots = {slot.lane[0].token: slot.index for slot in machine.desk.lanes.slots if slot.lane}
    return machine.finished([(slots[token], token, DONE, run_s) for token in tokens], now)


def flowing(machine: Machine) -> do.Report:
    """A worker of one slot that knows its work to be tiny; returns its report on the way."""
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a"), 0.0)
    return only(do.Report, machine.finished([(0, "a", DONE, 0.001)], 0.0))
