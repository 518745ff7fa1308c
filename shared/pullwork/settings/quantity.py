"""Durations and sizes as people write them, and the types that settings use for them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_PART: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)")


@dataclass(frozen=True)
class Allowed:
    """Says in words what a setting's type takes; stands in `Annotated` beside the type.

    `write` turns a value into the text that people would write; `name` is the type in a word or
    two, where `text` was told before.
    """

    text: str
    write: Callable[[Any], str] = str
    name: str = ""


def parse_duration(value: object) -> float:
    """Reads seconds from a number, or from text such as `30s`, `500ms`, `1h30m`.

    Raises ValueError for anything else, and for what is negative or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("not a duration")
    if isinstance(value, str):
        value = _plain_number(value) if _is_number(value) else _sum_of_parts(value)
    seconds = float(value)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError("a duration is finite and not negative")
    return seconds


def parse_size(value: object) -> int:
    """Reads bytes from a whole number, or from text such as `64MiB`, `1.5 GiB`, `500kB`.

    Raises ValueError for anything else, and for what is negative.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("not a size")
    if isinstance(value, str):
        text = value.strip()
        if text.isdecimal():
            value = int(text)
        else:
            match = _PART.fullmatch(text)
            if match is None or match[2] not in _BYTES:
                raise ValueError("not a size")
            value = round(float(match[1]) * _BYTES[match[2]])
    if value < 0:
        raise ValueError("a size is not negative")
    return value


def format_duration(seconds: float) -> str:
    """Writes seconds in the largest unit that needs no fraction; `parse_duration` reads it back."""
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds / _SECONDS[unit])}{unit}"
    in_ms = round(seconds * 1000, 6)
    if 0 < in_ms < 1000 and in_ms == int(in_ms):
        return f"{int(in_ms)}ms"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def format_size(size: int) -> str:
    """Writes bytes in the largest binary unit that needs no fraction."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", text) is not None


def _plain_number(text: str) -> float:
    return float(text)


def _sum_of_parts(text: str) -> float:
    seconds = 0.0
    position = 0
    for match in _PART.finditer(text.strip()):
        if match.start() != position or match[2] not in _SECONDS:
            raise ValueError("not a duration")
        seconds += float(match[1]) * _SECONDS[match[2]]
        position = match.end()
    if position == 0 or position != len(text.strip()):
        raise ValueError("not a duration")
    return seconds


# Seconds. Constraints of a field (`Field(ge=…)`) apply to the seconds.
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    Allowed(
        "a duration: seconds, or a number with ms, s, m, h or d, e.g. 30s",
        format_duration,
        "a duration",
    ),
]

# Bytes. Constraints of a field (`Field(ge=…)`) apply to the bytes.
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    Allowed(
        "a size: bytes, or a number with kB, MB, GB, KiB, MiB or GiB, e.g. 64MiB",
        format_size,
        "a size",
    ),
]
