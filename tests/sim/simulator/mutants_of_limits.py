"""Planted bugs, continued: what holds tasks back, and what wakes those who wait for it."""

from __future__ import annotations

from typing import Final

from pullwork_master.core.book import Book
from pullwork_master.core.gates import Gate
from pullwork_master.core.model import Limits, Task
from simulator.planting import Mutant, Patch


def limit_of_what_runs_ignored(patch: Patch) -> None:
    """However many run, the next is granted."""
    right = Gate._limit

    def wrong(self: Gate, limits: Limits) -> None:
        right(self, limits)
        self._limited = bool(limits.rate)

    patch(Gate, "_limit", wrong)


def a_restart_forgets_what_runs(patch: Patch) -> None:
    """What ran before a master's start takes no slot of its queue's limit."""
    right = Book.adopt

    def wrong(self: Book, task: Task) -> None:
        right(self, task)
        self.lines[task.line].gate.running -= 1

    patch(Book, "adopt", wrong)


def rate_ignored(patch: Patch) -> None:
    """A start takes no token."""
    patch(Gate, "_take_tokens", lambda self, key, now_ms: None)


def limit_keys_ignored(patch: Patch) -> None:
    """A key at its limit is let through."""
    patch(Gate, "bars", lambda self, key, now_ms: False)


def a_slot_of_a_limit_is_freed_in_secret(patch: Patch) -> None:
    """Who waits for a slot of a limit does not hear that one is free."""
    patch(Gate, "stir", lambda self: None)


def what_is_set_aside_stays_there(patch: Patch) -> None:
    """A limit key that has room again is not put back."""
    patch(Gate, "_put_back", lambda self, key: None)


def nobody_looks_when_a_token_comes(patch: Patch) -> None:
    """Who waits for a rate waits for somebody else to move."""
    patch(Gate, "_look_at", lambda self, key, at_ms: None)


MUTANTS_OF_LIMITS: Final = (
    Mutant(limit_of_what_runs_ignored, ("limits",)),
    Mutant(a_restart_forgets_what_runs, ("limits", "master dies")),
    Mutant(rate_ignored, ("limits",)),
    Mutant(limit_keys_ignored, ("limits",)),
    Mutant(a_slot_of_a_limit_is_freed_in_secret, ("limits",)),
    Mutant(what_is_set_aside_stays_there, ("limits",)),
    Mutant(nobody_looks_when_a_token_comes, ("limits",)),
)
