"""One node of a cluster under test: a thread with an event loop of its own, as a process has.

So a node can be frozen without freezing its neighbours, and what blocks the test's own loop
blocks no node. It knows nothing of what runs on it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from pullwork.testing.clock import Clock, ClockedLoop

T = TypeVar("T")


class NodeThread:
    """A thread, from its making until `close`."""

    def __init__(self, name: str, clock: Clock) -> None:
        self._loop = ClockedLoop(clock)
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._thaw: threading.Event | None = None
        self._thread.start()

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    @property
    def frozen(self) -> bool:
        """Whether nothing runs here until `thaw`."""
        return self._thaw is not None

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """Starts a coroutine over there; the future belongs to the loop that runs here."""
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine over there and returns what it gives."""
        return await self.begin(work)

    def look_at_the_clock(self) -> None:
        """Wakes the loop, which slept by the time as it was."""
        self._loop.call_soon_threadsafe(lambda: None)

    async def freeze(self) -> None:
        """Stops the thread in its tracks, after what it does just now."""
        if self._thaw is not None:
            return
        thaw = self._thaw = threading.Event()
        stopped: concurrent.futures.Future[None] = concurrent.futures.Future()

        def stop() -> None:
            stopped.set_result(None)
            thaw.wait()

        self._loop.call_soon_threadsafe(stop)
        await asyncio.wrap_future(stopped)

    def thaw(self) -> None:
        """Lets the thread go on, if it is frozen."""
        thaw, self._thaw = self._thaw, None
        if thaw is not None:
            thaw.set()

    async def close(self) -> None:
        """Ends what is left on the loop, the loop, and the thread."""
        self.thaw()
        await self.run(_end_the_rest())
        ended: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._loop.call_soon_threadsafe(self._loop.stop)
        # A thread of its own: `join` must not hold up the loop that runs here.
        threading.Thread(target=self._bury, args=(ended,), name="burial", daemon=True).start()
        await asyncio.wrap_future(ended)

    def _bury(self, ended: concurrent.futures.Future[None]) -> None:
        self._thread.join()
        self._loop.close()
        ended.set_result(None)


async def _end_the_rest() -> None:
    loop = asyncio.get_running_loop()
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
