"""The way of log lines from a node to whoever reads them: asked for by news, brought by a call.

Nodes can't be called, so a reader's wish goes out as an event on the node's stream of news, under
an id of its own, and the node answers with a call that names it. Between the two stands a `Feed`,
which holds one message: the next is taken from the node when the reader has taken that one. So a
slow reader slows its node down, and a reader that leaves ends the call.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress
from typing import Final

from pullwork.v1 import node_service_pb2 as pb
from pullwork.v1 import orchestrator_service_pb2
from pullwork_master.core.rejections import Reason, Rejection, shutting_down
from pullwork_master.wire import fields
from pullwork_master.wire.streams import LogWanted, Streams

Lines = Sequence[orchestrator_service_pb2.LogLine]

# Each may hold two messages of 1 MiB: one in the feed, one in the hand of its call.
FEEDS_MAX: Final = 500
FULL_RETRY_MS: Final = 5_000
# A node that is well answers at once; one that fell silent is not waited for.
ANSWER_S: Final = 10.0
# What a message may have in all; a node sends what it has long before that.
MESSAGE_BYTES_MAX: Final = 1024 * 1024


class UnreadableError(Exception):
    """The node does not listen, did not answer, or can't read the log; the message says which."""


class Feed:
    """One log on its way from a node's session to its reader."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.begun = asyncio.Event()
        # Nobody reads any more.
        self.left = asyncio.Event()
        self._lines: Lines | None = None
        self._free = asyncio.Event()
        self._free.set()
        self._filled = asyncio.Event()
        self._ended = False
        self._problem = ""
        self._stopped = False

    async def put(self, lines: Lines) -> None:
        """Hands lines over, once those before them were taken."""
        await self._free.wait()
        self._free.clear()
        self._lines = lines
        self._filled.set()

    def end(self, problem: str = "") -> None:
        """Says that nothing follows what was put."""
        if not self._ended:
            self._ended, self._problem = True, problem
            self._filled.set()

    def stop(self) -> None:
        """Lets both sides hear that the master stops."""
        self._stopped = True
        self._filled.set()
        self.begun.set()
        self.left.set()

    async def take(self) -> Lines | None:
        """Waits for the next lines; None: there are none.

        Errors: UnreadableError, SHUTTING_DOWN.
        """
        await self._filled.wait()
        if self._stopped:
            raise shutting_down()
        lines, self._lines = self._lines, None
        self._free.set()
        if lines is None and self._problem:
            raise UnreadableError(self._problem)
        if not self._ended:
            self._filled.clear()
        return lines


class LogRelay:
    """All logs that are under way, by id."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._feeds: dict[str, Feed] = {}
        # The master stops.
        self.stopped = asyncio.Event()

    def __len__(self) -> int:
        return len(self._feeds)

    def stop(self) -> None:
        """Ends every log: a server that stops would wait for them."""
        self.stopped.set()
        for feed in self._feeds.values():
            feed.stop()

    async def read(
        self, session_id: str, task_id: str, tail_lines: int, *, follow: bool
    ) -> AsyncGenerator[Lines, None]:
        """Yields the lines of a task's instance as its node sends them, until its log ends.

        Errors: UnreadableError; TOO_MANY_REQUESTS, SHUTTING_DOWN.
        """
        if len(self._feeds) >= FEEDS_MAX:
            raise Rejection(
                Reason.TOO_MANY_REQUESTS,
                f"{FEEDS_MAX} logs are being read already, as many as the master passes on at "
                "once; try again later",
                retry_after_ms=FULL_RETRY_MS,
            )
        log_id = secrets.token_hex(8)
        feed = self._feeds[log_id] = Feed(session_id)
        try:
            wanted = LogWanted(log_id, task_id, tail_lines, follow)
            if not self._streams.want_log(session_id, wanted):
                raise UnreadableError("the node can't be reached")
            try:
                await asyncio.wait_for(feed.begun.wait(), ANSWER_S)
            except TimeoutError:
                raise UnreadableError(f"the node did not answer within {ANSWER_S:g} s") from None
            while (lines := await feed.take()) is not None:
                if lines:
                    yield lines
        finally:
            del self._feeds[log_id]
            self._streams.log_unwanted(session_id, log_id)
            feed.left.set()

    async def bring(
        self, first: pb.SendLogsRequest, messages: AsyncIterator[pb.SendLogsRequest]
    ) -> None:
        """Passes a node's lines on, until they end or nobody reads them. Errors: INVALID_FIELD."""
        feed = self._feeds.get(first.log_id)
        if feed is None:
            return  # its reader has left meanwhile
        if feed.session_id != first.session_id:
            fields.refuse("log_id", "was asked of another session")
        if feed.begun.is_set():
            fields.refuse("log_id", "is being answered already, by another call")
        feed.begun.set()
        passing = asyncio.create_task(_pass_on(first, messages, feed))
        leaving = asyncio.create_task(feed.left.wait())
        try:
            await asyncio.wait({passing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if passing.done():
                passing.result()
        finally:
            feed.end("the node went away while it sent the log")
            for task in (passing, leaving):
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task


async def _pass_on(
    first: pb.SendLogsRequest, messages: AsyncIterator[pb.SendLogsRequest], feed: Feed
) -> None:
    message: pb.SendLogsRequest | None = first
    while message is not None:
        size = message.ByteSize()
        if size > MESSAGE_BYTES_MAX:
            fields.refuse(
                "lines",
                f"have {size} bytes in all; at most {MESSAGE_BYTES_MAX} are taken: send them in "
                "several messages",
            )
        await feed.put(message.lines)
        if message.problem:
            feed.end(message.problem[:400])
            return
        message = await anext(messages, None)
    feed.end()
