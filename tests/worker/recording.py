"""A bench for executors: the machine's place is taken by a test that gives work and waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Sequence

from pullwork_worker.executors.work import End, Work
from pullwork_worker.machine import Failure, Note, Outcome, Success, Ticket

WAIT_S = 20.0


def ticket(
    type: str,
    token: str = "",
    *,
    checkpoint: bytes = b"",
    data: bytes | None = None,
    **args: object,
) -> Ticket:
    """Returns a ticket; the arguments travel as JSON, or `data` as it is."""
    token = token or f"lease of {type}"
    payload = json.dumps(args).encode() if data is None else data
    headers = {"word": "hello"}
    content_type = "application/json"
    work = Work(token, type, "task-1", 2, "q", "me", payload, content_type, headers, checkpoint)
    return Ticket(token, type, None, work)


class RecordingSink:
    """Keeps what executors tell, and lets a test wait for it."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.order: list[str] = []
        self.notes: list[tuple[str, Note]] = []
        self.ready: list[int] = []
        self.gone: list[tuple[int, list[str], Failure]] = []
        self._changed = asyncio.Event()

    def ended(self, ends: Sequence[End]) -> None:
        """Keeps ends."""
        for _, token, outcome, run_s in ends:
            assert run_s >= 0
            assert token not in self.outcomes, "an attempt ends once"
            self.outcomes[token] = outcome
            self.order.append(token)
        self._changed.set()

    def noted(self, token: str, note: Note) -> None:
        """Keeps a note."""
        self.notes.append((token, note))
        self._changed.set()

    def child_ready(self, slot: int) -> None:
        """Keeps a slot."""
        self.ready.append(slot)
        self._changed.set()

    def child_gone(self, slot: int, unclaimed: Collection[str], evidence: Failure) -> None:
        """Keeps a death."""
        self.gone.append((slot, list(unclaimed), evidence))
        self._changed.set()

    def crash(self, error: BaseException) -> None:
        """Fails the test."""
        raise error

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until a condition holds; it is looked at whenever something was told."""
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def outcome(self, token: str) -> Outcome:
        """Waits for the end of an attempt."""
        await self.until(lambda: token in self.outcomes)
        return self.outcomes[token]

    async def value(self, token: str) -> object:
        """Waits for the success of an attempt, and returns its JSON result."""
        outcome = await self.outcome(token)
        assert isinstance(outcome, Success), outcome
        return json.loads(outcome.data)

    async def failure(self, token: str) -> Failure:
        """Waits for the failure of an attempt."""
        outcome = await self.outcome(token)
        assert isinstance(outcome, Failure), outcome
        return outcome
