"""Between protobuf's moments and spans of time and Python's: UTC datetimes and seconds."""

from __future__ import annotations

import datetime
from typing import Protocol

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from pullwork.errors import InvalidFieldError

_SECONDS_MAX = 315_576_000_000


class _HasFields(Protocol):
    def HasField(self, field_name: str, /) -> bool: ...


def moment(message: object, field: str) -> datetime.datetime | None:
    """Returns a Timestamp field as a datetime in UTC, or None where it is not set."""
    return getattr(message, field).ToDatetime(datetime.UTC) if _has(message, field) else None


def seconds(message: object, field: str) -> float | None:
    """Returns a Duration field in seconds, or None where it is not set."""
    if not _has(message, field):
        return None
    span: Duration = getattr(message, field)
    return span.seconds + span.nanos / 1e9


def _has(message: object, field: str) -> bool:
    holder: _HasFields = message  # type: ignore[assignment]
    return holder.HasField(field)


def to_duration(value_s: float, field: str) -> Duration:
    """Packs seconds; raises InvalidFieldError for what no span can be."""
    try:
        fits = -_SECONDS_MAX <= value_s <= _SECONDS_MAX  # false for NaN too
    except TypeError:
        fits = False
    if not fits:
        raise InvalidFieldError(f"{field} is no number of seconds: {value_s!r}", field=field)
    whole, rest = divmod(round(value_s * 1_000_000_000), 1_000_000_000)
    if whole < 0 and rest:
        whole, rest = whole + 1, rest - 1_000_000_000
    return Duration(seconds=whole, nanos=rest)


def to_timestamp(value: datetime.datetime, field: str) -> Timestamp:
    """Packs a datetime; raises InvalidFieldError for one that has no time zone."""
    if not isinstance(value, datetime.datetime):
        raise InvalidFieldError(f"{field} is no datetime: {value!r}", field=field)
    if value.tzinfo is None:
        raise InvalidFieldError(
            f"{field} has no time zone; say datetime.now(datetime.UTC), or use delay", field=field
        )
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp
