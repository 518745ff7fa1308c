"""The open TaskIncoming streams: one mailbox of bounded size for each worker's news.

`context.write` gives no backpressure, so news is put together while it waits: one set of
available types, one set of revoked leases.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple

from pullwork_master.core.effects import Available, DrainAsked, Effects, Revoked, SessionEnded


class LogWanted(NamedTuple):
    """News for a node: somebody reads the log of an instance; it is no effect of the core."""

    log_id: str
    task_id: str
    tail_lines: int
    follow: bool


@dataclass(slots=True)
class News:
    """What a worker is to hear next."""

    available: tuple[str, ...] = ()
    # Reason → tokens.
    revoked: dict[str, list[str]] = field(default_factory=dict)
    drain: bool = False
    # By id: as many as there are readers, who take theirs back when they leave.
    logs: dict[str, LogWanted] = field(default_factory=dict)
    ended: str | None = None
    # Nothing of it came for as long as the worker may wait for a sign of life.
    tick: bool = False
    replaced: bool = False
    stopped: bool = False


class Mailbox:
    """News for one stream."""

    def __init__(self) -> None:
        self._news = News()
        self._bell = asyncio.Event()

    def put(self, news: Available | Revoked | DrainAsked | SessionEnded | LogWanted) -> None:
        """Adds to what waits."""
        waiting = self._news
        if isinstance(news, Available):
            waiting.available = news.types
        elif isinstance(news, Revoked):
            waiting.revoked.setdefault(news.reason, []).extend(news.tokens)
        elif isinstance(news, DrainAsked):
            waiting.drain = True
        elif isinstance(news, LogWanted):
            waiting.logs[news.log_id] = news
        else:
            waiting.ended = news.reason
        self._bell.set()

    def take_back(self, log_id: str) -> None:
        """Forgets that a log was wanted, if that was not told yet."""
        self._news.logs.pop(log_id, None)

    def replace(self) -> None:
        """Ends the stream because another of the same session took its place."""
        self._news.replaced = True
        self._bell.set()

    def stop(self) -> None:
        """Ends the stream because the master stops."""
        self._news.stopped = True
        self._bell.set()

    async def take(self, wait_s: float) -> News:
        """Waits for news and takes all of it; a tick, if none comes in time."""
        # A bare timer: `asyncio.wait_for` costs a task for each tick of each worker.
        timer = asyncio.get_running_loop().call_later(wait_s, self._tick)
        try:
            await self._bell.wait()
        finally:
            timer.cancel()
        self._bell.clear()
        news, self._news = self._news, News()
        return news

    def _tick(self) -> None:
        self._news.tick = True
        self._bell.set()


class Streams:
    """The mailbox of each session that has a stream open."""

    def __init__(self) -> None:
        self._boxes: dict[str, Mailbox] = {}

    def open(self, session_id: str) -> Mailbox:
        """Gives a session's new stream its mailbox, and ends its former stream."""
        former = self._boxes.get(session_id)
        if former is not None:
            former.replace()
        box = self._boxes[session_id] = Mailbox()
        return box

    def close(self, session_id: str, box: Mailbox) -> None:
        """Forgets a stream, unless another has taken its place."""
        if self._boxes.get(session_id) is box:
            del self._boxes[session_id]

    def want_log(self, session_id: str, wanted: LogWanted) -> bool:
        """Has a node told that its log is wanted; returns whether it listens."""
        box = self._boxes.get(session_id)
        if box is not None:
            box.put(wanted)
        return box is not None

    def log_unwanted(self, session_id: str, log_id: str) -> None:
        """Spares a node what it was not told yet."""
        box = self._boxes.get(session_id)
        if box is not None:
            box.take_back(log_id)

    def stop(self) -> None:
        """Ends every stream: a server that stops would wait for them."""
        for box in self._boxes.values():
            box.stop()

    def tell(self, effects: Effects) -> None:
        """Leaves a committed step's news in the mailboxes."""
        for session_id, news in effects.news:
            box = self._boxes.get(session_id)
            if box is not None:
                box.put(news)

    def __len__(self) -> int:
        return len(self._boxes)
