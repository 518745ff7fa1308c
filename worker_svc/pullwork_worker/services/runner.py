"""What runs instances: the words that processes and containers share.

A runner makes programs, finds those that are there, and tells how each ended. It knows neither
tickets nor the master.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, NamedTuple, Protocol

from pullwork_worker.services.order import Order

# What a person sees of the end of a program's log.
LOG_BYTES_MAX: Final = 4 * 1024
LOG_LINES: Final = 50
# A longer line comes in pieces.
LINE_BYTES_MAX: Final = 16 * 1024

# How a program can end, or not begin: the `type` of the failure.
EXITED: Final = "pullwork.InstanceExited"
UNHEALTHY: Final = "pullwork.InstanceUnhealthy"
IMAGE_NOT_ALLOWED: Final = "pullwork.ImageNotAllowed"
IMAGE_PULL_FAILED: Final = "pullwork.ImagePullFailed"
START_FAILED: Final = "pullwork.InstanceStartFailed"
INVALID: Final = "pullwork.InstanceInvalid"


class Scope(NamedTuple):
    """Whose instances a node keeps: those of this cluster, made for this node."""

    cluster: str
    node: str


class Address(NamedTuple):
    """Where a port can be reached."""

    name: str
    host: str
    port: int


class Line(NamedTuple):
    """A line of a program's log; the time is the wall clock's, in milliseconds."""

    time_ms: int
    stderr: bool
    text: str


class Ending(NamedTuple):
    """How a program ended; `code` is None if it did not run, or nobody knows. 0 ms: never."""

    type: str
    message: str
    code: int | None = None
    started_ms: int = 0
    ended_ms: int = 0
    log: str = ""


class StartError(Exception):
    """A program can't be started; the message says why, and what to do."""

    def __init__(self, type: str, message: str) -> None:
        super().__init__(message)
        self.type = type


class AwayError(Exception):
    """What runs a program can't be reached now, so nobody knows how the program is."""


class UnreadableError(Exception):
    """A program's log can't be read; the message says why."""


class Program(Protocol):
    """A program that was started: it runs, or has ended and its remains are there."""

    order: Order
    addresses: tuple[Address, ...]
    started_ms: int

    async def ended(self) -> Ending:
        """Waits until it has ended, and says how; once that is so, at once."""

    async def stop(self) -> None:
        """Asks it to end, and ends it by force after its grace; returns once it has ended."""

    async def run(self, command: Sequence[str]) -> int:
        """Runs a command beside it, as a check; returns its exit code.

        Raises StartError, AwayError.
        """

    def asked_at(self, port: str) -> tuple[str, int]:
        """Returns host and port where a check asks for a port; empty: the first."""

    def lines(self, tail: int, *, follow: bool) -> AsyncIterator[Line]:
        """Yields the last lines of its log, then those that come, until it has ended.

        Raises UnreadableError.
        """


class Runner(Protocol):
    """Starts programs of one kind, and finds those that run already."""

    # As the contract calls it: `container` or `process`.
    kind: str
    # Why it can't run anything now, in one sentence; empty: it can.
    problem: str
    # Set once it has been looked what is there, or that can't be done now.
    looked: asyncio.Event

    async def keep(
        self, scope: Scope, found: Callable[[Sequence[Program]], None], changed: Callable[[], None]
    ) -> None:
        """Finds what is there, tells of it, and stays in touch with what runs it, for ever."""

    async def start(self, order: Order, pulling: Callable[[str], None]) -> Program:
        """Adopts an instance's program, or starts one; raises StartError.

        Waits while nothing can be started for now. Safe to cancel: what is half made is
        finished or undone by `remove`.
        """

    async def remove(self, order: Order) -> None:
        """Removes all that is left of an instance; nothing to remove is fine."""

    async def close(self) -> None:
        """Lets go of everything; programs go on."""


def exit_message(code: int) -> str:
    """Says how a program ended, e.g. `exited with 137 (SIGKILL)`."""
    try:
        return f"exited with {code} ({signal.Signals(code - 128).name})"
    except ValueError:
        return f"exited with {code}"


def tail_of(lines: Sequence[str]) -> str:
    """Returns the last lines as one text, of at most so many bytes as an end may carry."""
    text = "\n".join(lines).encode()
    return text[-LOG_BYTES_MAX:].decode(errors="ignore")
