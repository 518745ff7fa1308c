"""Reads what people type into a payload, a span of time, or headers."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pullwork.errors import InvalidFieldError
from pullwork.payload import JSON, Encoded

_NAMED: Final = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


def read_payload(words: Sequence[str], content_type: str | None) -> Encoded:
    """Makes a payload of `JSON`, `@file` or `-` (stdin), and `name=value` words.

    The payload of a JSON content type, the default, must be an object of parameter names;
    `name=value` adds to it, with the value read as JSON where it is that. Another content type
    takes the bytes as they are. Raises InvalidFieldError.
    """
    named = [match for word in words if (match := _NAMED.fullmatch(word))]
    sources = [word for word in words if not _NAMED.fullmatch(word)]
    if len(sources) > 1:
        raise _bad(
            f"{sources[1]!r} is one payload too many: give one JSON text, @file or -, and "
            "further arguments as name=value"
        )
    data = _read_source(sources[0]) if sources else b""
    if content_type is not None and content_type != JSON:
        if named:
            raise _bad(f"name=value makes JSON, but the content type is {content_type}")
        return Encoded(data, content_type)
    arguments = _read_object(data, sources[0]) if sources else {}
    for match in named:
        if match[1] in arguments:
            raise _bad(f"the argument {match[1]} is given twice")
        arguments[match[1]] = _read_value(match[2])
    return Encoded(json.dumps(arguments, ensure_ascii=False).encode(), JSON)


def read_span(text: str | None, flag: str) -> float | None:
    """Reads a span such as `30s`; raises InvalidFieldError that names the flag."""
    from pullwork.settings import parse_duration

    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError:
        raise InvalidFieldError(
            f"{flag} can't be {text!r}: write seconds, or a number with ms, s, m, h or d, e.g. 30s",
            field=flag,
        ) from None


def read_rate(text: str | None, flag: str) -> float | None:
    """Reads a rate such as `5/s` or `300/m`; raises InvalidFieldError that names the flag."""
    if text is None:
        return None
    number, _, unit = text.partition("/")
    try:
        return float(number) / {"": 1, "s": 1, "m": 60, "h": 3600}[unit]
    except (KeyError, ValueError):
        raise InvalidFieldError(
            f"{flag} can't be {text!r}: write tasks a second, or a number with /s, /m or /h, e.g. "
            "300/m; 0 for no limit",
            field=flag,
        ) from None


def read_headers(words: Sequence[str]) -> dict[str, str]:
    """Reads `name=value` words; raises InvalidFieldError."""
    headers = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InvalidFieldError(f"--header can't be {word!r}: write name=value", field="header")
        headers[name] = value
    return headers


def _read_source(word: str) -> bytes:
    if word == "-":
        return sys.stdin.buffer.read()
    if not word.startswith("@"):
        return word.encode()
    try:
        return Path(word[1:]).read_bytes()
    except OSError as error:
        raise _bad(f"the file {word[1:]!r} can't be read: {error.strerror}") from None


def _read_object(data: bytes, source: str) -> dict[str, Any]:
    where = {"-": "stdin"}.get(source, source[1:] if source.startswith("@") else "the payload")
    try:
        value = json.loads(data)
    except ValueError as error:
        raise _bad(
            f"{where} is not JSON ({error}); arguments can be given as name=value, and bytes "
            "with --content-type"
        ) from None
    if not isinstance(value, dict):
        raise _bad(f'{where} is JSON, but no object of parameter names: write {{"name": value}}')
    return value


def _read_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _bad(message: str) -> InvalidFieldError:
    return InvalidFieldError(message, field="payload")
