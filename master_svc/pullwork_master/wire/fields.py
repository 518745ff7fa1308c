"""Checks of shape on what comes in: each refusal names the field, what is wrong and the remedy."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from functools import lru_cache
from typing import NoReturn

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from pullwork_master.core.limits import DURATION_MS_MAX, NAME_CHARS_MAX
from pullwork_master.core.model import NODE_PREFIX
from pullwork_master.core.rejections import Reason, Rejection

_NAME = re.compile(rf"[A-Za-z0-9._:/-]{{1,{NAME_CHARS_MAX}}}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def refuse(field: str, problem: str) -> NoReturn:
    """Refuses a request for one of its fields."""
    raise Rejection(Reason.INVALID_FIELD, f"{field} {problem}", field=field)


def within(place: str, refused: Rejection) -> Rejection:
    """Says where the thing stood whose field was refused; paths are put together only then."""
    return Rejection(refused.reason, f"{place}{refused.message}", field=f"{place}{refused.field}")


@lru_cache(4096)
def _is_name(value: str) -> bool:
    return _NAME.fullmatch(value) is not None


def name(value: str, field: str) -> str:
    """Takes the name of a queue or type."""
    if not value:
        refuse(field, "is required")
    if not _is_name(value):
        refuse(field, f"is {value!r}; it must be 1 to {NAME_CHARS_MAX} of A-Z a-z 0-9 . _ : / -")
    return value


def own_queue(value: str, field: str) -> str:
    """Takes the name of a queue whose tasks are anybody's, not a node's instances."""
    if name(value, field).startswith(NODE_PREFIX):
        refuse(
            field,
            f"is {value!r}, a node's own: services alone decide what is in it; create, scale or "
            "update a service instead",
        )
    return value


def text(value: str, field: str, chars_max: int, *, required: bool = False) -> str:
    """Takes free text up to a bound."""
    if required and not value:
        refuse(field, "is required")
    if len(value) > chars_max:
        refuse(field, f"has {len(value)} characters; at most {chars_max} are taken")
    return value


def task_id(value: str, field: str) -> str:
    """Takes a task id in any case and returns it in lower case."""
    if not value:
        refuse(field, "is required")
    if _UUID.fullmatch(value) is None:
        refuse(field, f"is {value[:64]!r}; it must be a UUID of 36 characters")
    return value if value.islower() else str(uuid.UUID(value))


def number(value: int, field: str, low: int, high: int) -> int:
    """Takes a whole number between bounds, both included."""
    if not low <= value <= high:
        refuse(field, f"is {value}; it must be from {low} to {high}")
    return value


def count(items: int, field: str, low: int, high: int) -> None:
    """Takes a list of a length between bounds, both included."""
    if items < low:
        refuse(field, "is empty; at least one is needed")
    if items > high:
        refuse(field, f"has {items} entries; at most {high} are taken in one call")


def names(values: Iterable[str], field: str) -> tuple[str, ...]:
    """Takes names of queues or types and returns each once, in their order."""
    return tuple(
        dict.fromkeys(name(value, f"{field}[{index}]") for index, value in enumerate(values))
    )


def task_ids(values: Iterable[str], field: str) -> tuple[str, ...]:
    """Takes task ids and returns them in lower case."""
    return tuple(task_id(value, f"{field}[{index}]") for index, value in enumerate(values))


def pairs(entries: dict[str, str], field: str, items_max: int, bytes_max: int) -> None:
    """Takes a map of words up to bounds on its entries and all its bytes."""
    if len(entries) > items_max:
        refuse(field, f"has {len(entries)} entries; at most {items_max} are taken")
    size = sum(len(key.encode()) + len(value.encode()) for key, value in entries.items())
    if size > bytes_max:
        refuse(field, f"has {size} bytes in all; at most {bytes_max} are taken")


def duration_ms(value: Duration, field: str, *, positive: bool = False) -> int:
    """Takes a duration and returns milliseconds, rounded up so that a short one is not zero."""
    total_ns = value.seconds * 1_000_000_000 + value.nanos
    if total_ns < 0:
        refuse(field, "is negative; it must be zero or more")
    if positive and total_ns == 0:
        refuse(field, "is zero; leave it out or make it longer")
    ms = -(-total_ns // 1_000_000)
    if ms > DURATION_MS_MAX:
        refuse(field, "is longer than ten years; make it shorter")
    return ms


def moment_ms(value: Timestamp, field: str) -> int:
    """Takes a moment and returns milliseconds since 1970."""
    if not 0 <= value.nanos < 1_000_000_000:
        refuse(field, f"has {value.nanos} nanos; they must be from 0 to 999999999")
    if not 0 <= value.seconds <= 253_402_300_799:
        refuse(field, "must lie between the years 1970 and 9999")
    return value.seconds * 1000 + -(-value.nanos // 1_000_000)
