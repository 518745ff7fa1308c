"""Ids of tasks: UUIDs of version 7, whose order is the order in which they were made."""

from __future__ import annotations

import os
import time
import uuid

from pullwork.errors import InvalidFieldError


def new_task_id() -> str:
    """Makes an id by RFC 9562: 48 bits of milliseconds, then 74 random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0b11 << 62) | 0b10 << 62
    # A third of what uuid.UUID takes, and each submission pays it.
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def checked_task_id(task_id: str) -> str:
    """Returns an id in the form that the master answers with; raises InvalidFieldError."""
    try:
        return str(uuid.UUID(task_id))
    except (ValueError, AttributeError, TypeError):
        raise InvalidFieldError(f"task_id {task_id!r} is no UUID", field="task_id") from None
