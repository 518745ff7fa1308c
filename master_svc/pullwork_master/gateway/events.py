"""A stream of messages as server-sent events, which browsers and curl can follow.

Each message is one event; one with a `cursor` has it as its id, so that whoever comes back with
`Last-Event-ID` goes on from there. The last event says why the stream ends: `end`, or `problem`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

from google.protobuf.message import Message
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pullwork_master.gateway import problems, showing
from pullwork_master.gateway.bounds import EVENT_PAUSE_S, FIRST_EVENT_S
from pullwork_master.gateway.context import Aborted
from pullwork_master.gateway.refusals import CallError

MEDIA_TYPE: Final = "text/event-stream"
ALIVE: Final = b": still here\n\n"
END: Final = b"event: end\ndata: {}\n\n"
CURSOR: Final = "cursor"


def event(message: Message) -> bytes:
    """Writes a message as an event."""
    cursor = getattr(message, CURSOR, "")
    head = f"id: {cursor}\n".encode() if cursor else b""
    return head + b"data: " + showing.written(message) + b"\n\n"


def problem(refused: CallError) -> bytes:
    """Writes the refusal that ends a stream as an event."""
    told = json.dumps(problems.document(refused.error, refused.code))
    return f"event: problem\ndata: {told}\n\n".encode()


class EventStream(Response):
    """Answers with a stream of messages, for as long as somebody listens."""

    def __init__(self, messages: AsyncIterator[Message], *, headers_only: bool) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        del self.headers["content-length"]
        self._messages = messages
        self._headers_only = headers_only
        self._next: asyncio.Task[bytes | None] | None = None

    async def begin(self) -> None:
        """Waits a moment for the first message: a refusal that comes first has a status.

        Errors: CallError.
        """
        self._next = asyncio.create_task(self._read())
        await asyncio.wait({self._next}, timeout=FIRST_EVENT_S)
        if self._next.done() and isinstance(error := self._next.exception(), Aborted):
            await self.close()
            raise error.refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends events until the stream or the connection ends."""
        gone = asyncio.create_task(until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if not self._headers_only:
                await self._send_all(gone, send)
            if not gone.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            await self.close()

    async def close(self) -> None:
        """Ends the handler of the stream, which tells it that nobody listens any more."""
        if self._next is not None:
            self._next.cancel()
            with suppress(asyncio.CancelledError, Aborted):
                await self._next
        await self._messages.aclose()  # type: ignore[attr-defined]

    async def _send_all(self, gone: asyncio.Task[None], send: Send) -> None:
        more = True
        while more:
            assert self._next is not None
            await asyncio.wait(
                {self._next, gone},
                timeout=EVENT_PAUSE_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if gone.done():
                return
            body, more = self._taken()
            await send({"type": "http.response.body", "body": body, "more_body": True})

    def _taken(self) -> tuple[bytes, bool]:
        """Returns what to send next, and whether more may follow."""
        assert self._next is not None
        if not self._next.done():
            return ALIVE, True
        try:
            body = self._next.result()
        except Aborted as aborted:
            return problem(aborted.refused), False
        if body is None:
            return END, False
        self._next = asyncio.create_task(self._read())
        return body, True

    async def _read(self) -> bytes | None:
        """Returns the next event; None: there is none."""
        message = await anext(self._messages, None)
        return None if message is None else event(message)


async def until_gone(receive: Any) -> None:
    """Returns when the client went away."""
    while (await receive())["type"] != "http.disconnect":
        pass
