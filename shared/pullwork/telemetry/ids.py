"""Ids of traces and spans that follow from the task, so that nobody has to tell them.

An attempt links to the one before it although another worker ran that one, and perhaps died of
it; and a task whose submitter had no trace has one all the same, the same for master and workers.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

WAIT: Final = b"wait"
RUN: Final = b"run"


def span_id_of(task_id: str, attempt: int, part: bytes) -> int:
    """Returns the id of the span of an attempt: of its wait, or of its run."""
    about = f"{task_id}.{attempt}".encode()
    digest = hashlib.blake2b(about, digest_size=8, person=part).digest()
    return int.from_bytes(digest) or 1  # 0 is no id


def trace_id_of(task_id: str) -> int:
    """Returns the id of the trace of a task that came without one: the task's own id."""
    return uuid.UUID(task_id).int or 1


class ChosenIds(RandomIdGenerator):
    """Makes random ids, save within `chosen`."""

    def __init__(self) -> None:
        self._chosen: ContextVar[tuple[int, int] | None] = ContextVar("ids", default=None)

    @contextmanager
    def chosen(self, trace_id: int, span_id: int) -> Iterator[None]:
        """Has the span that is made within get these ids; the trace's, if it has no parent."""
        before = self._chosen.set((trace_id, span_id))
        try:
            yield
        finally:
            self._chosen.reset(before)

    def generate_trace_id(self) -> int:
        """Returns the next trace's id."""
        chosen = self._chosen.get()
        return super().generate_trace_id() if chosen is None else chosen[0]

    def generate_span_id(self) -> int:
        """Returns the next span's id."""
        chosen = self._chosen.get()
        return super().generate_span_id() if chosen is None else chosen[1]
