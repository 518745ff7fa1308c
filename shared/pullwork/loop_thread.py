"""An event loop in a thread of its own, which programs without asyncio call into."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator
from typing import Any, TypeVar

from pullwork.errors import PullworkError

T = TypeVar("T")


class LoopThread:
    """An event loop in a thread of its own, and the way to it."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread; it is gone at the latest with the process."""
        if self._loop is not None:
            raise PullworkError("a client is used once; make another one")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="pullwork client", daemon=True
        )
        self._thread.start()

    @property
    def is_open(self) -> bool:
        """Whether the thread has been started and not been stopped."""
        return self._loop is not None and not self._loop.is_closed()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine over there and waits for what it gives."""
        if self._loop is None or self._loop.is_closed():
            work.close()
            raise PullworkError(
                "this client is not open, or not any more: use it as `with Client(...)`"
            )
        if threading.current_thread() is self._thread:
            work.close()
            raise PullworkError(
                "a blocking client can't be used from within its own calls, e.g. by the iterable "
                "given to map; collect the items first"
            )
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C here must also end the work there
            future.cancel()
            raise

    def iterate(self, items: AsyncIterator[T]) -> Generator[T]:
        """Iterates over there, one item at a time."""
        end: Any = object()

        async def step() -> T:
            return await anext(items, end)

        try:
            while (item := self.run(step())) is not end:
                yield item
        finally:
            if isinstance(items, AsyncGenerator) and self.is_open:
                self.run(_close(items))

    def stop(self) -> None:
        """Ends the loop and the thread."""
        assert self._loop is not None
        assert self._thread is not None
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _close(items: AsyncGenerator[Any]) -> None:
    await items.aclose()
