"""The worker's machine: pure, so that its whole behaviour can be tried without a clock."""

from pullwork_worker.machine.instructions import Instruction
from pullwork_worker.machine.machine import Machine
from pullwork_worker.machine.ticket import (
    Blame,
    Failure,
    Kind,
    Note,
    Outcome,
    Released,
    Success,
    Ticket,
)

__all__ = [
    "Blame",
    "Failure",
    "Instruction",
    "Kind",
    "Machine",
    "Note",
    "Outcome",
    "Released",
    "Success",
    "Ticket",
]
