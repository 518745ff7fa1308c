"""What a running task can know of itself and say about itself: `current()`.

It is the same in every executor; what differs is the `Channel` behind it, which the
worker puts there. Worker processes load this, so it stays free of gRPC.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Protocol

from pullwork.errors import InvalidFieldError, NoTaskError, TaskCancelledError

CHECKPOINT_BYTES_MAX: Final = 256 * 1024
MESSAGE_CHARS_MAX: Final = 256


class Channel(Protocol):
    """The way from a task to the worker that runs it."""

    def tell(self, fraction: float | None, message: str | None, checkpoint: bytes | None) -> None:
        """Passes on what the task says of itself."""

    def cancelled(self) -> bool:
        """Returns whether the task is to end."""


@dataclass(frozen=True, slots=True)
class TaskContext:
    """The running attempt.

    `checkpoint` is what an earlier attempt of the task last saved, empty if nothing.
    """

    task_id: str
    attempt: int
    type: str
    queue: str
    owner: str
    headers: Mapping[str, str]
    checkpoint: bytes
    channel: Channel = field(repr=False, compare=False)

    def progress(self, fraction: float | None = None, message: str | None = None) -> None:
        """Says how far the task is: a share from 0 to 1, a line for people, or both.

        It also counts as a sign of life where the task has a progress timeout. Said often, only
        the last of it may arrive. Raises InvalidFieldError.
        """
        if fraction is None and message is None:
            raise InvalidFieldError("progress() needs a fraction, a message, or both")
        if fraction is not None:
            if not (math.isfinite(fraction) and 0 <= fraction <= 1):
                raise InvalidFieldError(
                    f"the fraction must be from 0 to 1, got {fraction!r}", field="fraction"
                )
            fraction = float(fraction)
        if message is not None:
            message = str(message)[:MESSAGE_CHARS_MAX]
        self.channel.tell(fraction, message, None)

    def save_checkpoint(self, data: bytes) -> None:
        """Keeps bytes for the next attempt, should this one not end well; the last one counts.

        Raises InvalidFieldError for more than 256 KiB.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InvalidFieldError(
                f"a checkpoint is bytes, got {type(data).__name__}", field="checkpoint"
            )
        data = bytes(data)
        if len(data) > CHECKPOINT_BYTES_MAX:
            raise InvalidFieldError(
                f"a checkpoint is at most {CHECKPOINT_BYTES_MAX} bytes, got {len(data)}; "
                "keep the rest elsewhere and save where it is",
                field="checkpoint",
            )
        self.channel.tell(None, None, data)

    @property
    def cancelled(self) -> bool:
        """Whether the task is to end: it was cancelled, its time is over, or its lease is lost.

        Whoever looks at it and returns soon is not killed.
        """
        return self.channel.cancelled()

    def raise_if_cancelled(self) -> None:
        """Raises TaskCancelledError if the task is to end."""
        if self.cancelled:
            raise TaskCancelledError("the task is to end")


# A maker, since most tasks never ask: to make the context costs as much as to call a function.
running: Final[ContextVar[Callable[[], TaskContext]]] = ContextVar("pullwork_task")
"""What makes the context of the attempt that runs here; executors set it."""


def current() -> TaskContext:
    """Returns the context of the task that runs here; raises NoTaskError outside of one."""
    try:
        make = running.get()
    except LookupError:
        raise NoTaskError from None
    return make()
