"""The body of a request: its kind, its size and its time are bounded before it is read."""

from __future__ import annotations

import asyncio
from email.message import Message
from typing import Final

from starlette.requests import ClientDisconnect, Request

from pullwork_master.gateway.bounds import BODY_BYTES_DROPPED_MAX, BODY_BYTES_MAX, BODY_S_MAX
from pullwork_master.gateway.refusals import (
    BodyTooLargeError,
    SlowBodyError,
    UnsupportedMediaTypeError,
    refuse_field,
)

JSON: Final = "application/json"
_UTF8: Final = frozenset({"", "utf-8", "utf8", "us-ascii"})


async def read(request: Request, *, taken: bool) -> bytes:
    """Returns the body; empty: there is none. `taken` says whether the path takes one.

    Errors: PullworkError.
    """
    try:
        async with asyncio.timeout(BODY_S_MAX):
            raw = await _read(request)
    except TimeoutError:
        raise SlowBodyError(f"the body took longer than {BODY_S_MAX:g} s") from None
    except ClientDisconnect:
        raise SlowBodyError("the client left while it sent the body") from None
    if raw and not taken:
        raise refuse_field(
            "body", f"is not taken by {request.method} here; use query parameters, or none"
        )
    if raw:
        _check_kind(request)
    return raw


async def _read(request: Request) -> bytes:
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > BODY_BYTES_MAX and "expect" in request.headers:
        raise _too_large()
    read = bytearray()
    dropped = 0
    async for part in request.stream():
        if dropped or len(read) + len(part) > BODY_BYTES_MAX:
            dropped += len(read) + len(part)
            read.clear()
            if dropped > BODY_BYTES_DROPPED_MAX:
                break
        else:
            read += part
    if dropped:
        raise _too_large()
    return bytes(read)


def _check_kind(request: Request) -> None:
    header = Message()
    header["content-type"] = request.headers.get("content-type", "")
    kind = header.get_content_type() if "content-type" in request.headers else "nothing"
    charset = (header.get_content_charset() or "").lower()
    encoding = request.headers.get("content-encoding", "identity")
    if kind != JSON or charset not in _UTF8 or encoding != "identity":
        what = request.headers.get("content-type", "of no kind")[:80]
        if encoding != "identity":
            what += f", {encoding}"
        raise UnsupportedMediaTypeError(
            f"the body must be {JSON} in UTF-8, and not compressed; this is {what}. With curl: "
            "--json, or --header 'Content-Type: application/json'",
            headers={"Accept": JSON},
        )


def _too_large() -> BodyTooLargeError:
    return BodyTooLargeError(
        f"a body may have {BODY_BYTES_MAX} bytes; send less at a time",
        headers={"Connection": "close"},
    )
