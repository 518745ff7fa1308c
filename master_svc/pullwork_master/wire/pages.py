"""Pages of long lists: what fits on one, and the tokens that lead from one to the next.

A token holds the place of the last entry that was shown in the order of the list, so that what
comes and goes between two pages shifts nothing; and a mark of its query, so that it is not
taken for another's.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Hashable, Iterable, Iterator
from typing import NoReturn, Protocol, TypeVar

from pullwork_master.core import limits
from pullwork_master.wire import fields


class Message(Protocol):
    """What a page is made of."""

    def ByteSize(self) -> int: ...


M = TypeVar("M", bound=Message)


def size(asked: int) -> int:
    """Takes the `page_size` of a request and returns how many entries a page may have."""
    return fields.number(asked, "page_size", 0, limits.PAGE_SIZE_MAX) or limits.PAGE_SIZE_DEFAULT


def fit(entries: Iterable[M]) -> list[M]:
    """Returns the first of the entries, as many as fit one answer; none only of none."""
    return next(parts(entries), [])


def parts(entries: Iterable[M]) -> Iterator[list[M]]:
    """Yields all entries in their order, as many at a time as fit one message."""
    part: list[M] = []
    room = limits.PAGE_BYTES_MAX
    for entry in entries:
        entry_bytes = entry.ByteSize()
        if part and entry_bytes > room:
            yield part
            part, room = [], limits.PAGE_BYTES_MAX
        part.append(entry)
        room -= entry_bytes
    if part:
        yield part


def token(place: str, call: str, query: Hashable = None) -> str:
    """Makes the token of what follows a place; `query` is what a call's request chose."""
    return base64.urlsafe_b64encode(f"{_mark(call, query)}.{place}".encode()).decode()


def place(token: str, call: str, query: Hashable = None) -> str:
    """Takes the `page_token` of a request and returns the place in it; empty: the beginning."""
    if not token:
        return ""
    try:
        mark, _, found = base64.urlsafe_b64decode(token).decode().partition(".")
        known = int(mark)
    except (ValueError, binascii.Error):
        stranger(call)
    if known != _mark(call, query) or not found:
        fields.refuse(
            "page_token", "is of another query; keep what it asks for, or start without one"
        )
    return found


def stranger(call: str) -> NoReturn:
    """Refuses a token that no answer of a call ever held."""
    fields.refuse("page_token", f"is no page token of {call}; start without one")


def _mark(call: str, query: Hashable) -> int:
    return zlib.crc32(repr((call, query)).encode())
