"""Callers who ask without a pause, and remember who answered each time, or that nobody did."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import httpx

CALLERS = 4


class Call(NamedTuple):
    """One request and its end, by the monotonic clock."""

    began: float
    ended: float
    # Who answered; empty: the request failed, for this reason.
    name: str
    failure: str


class Load:
    """All requests so far."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._ended = asyncio.Event()

    def add(self, call: Call) -> None:
        """Takes note of one more."""
        self.calls.append(call)
        self._ended.set()

    def failures(self, since: float = 0.0) -> list[Call]:
        """Returns those that failed and began after a moment."""
        return [call for call in self.calls if call.failure and call.began > since]

    def names(self, since: float) -> set[str]:
        """Returns who answered requests that began after a moment."""
        return {call.name for call in self.calls if call.name and call.began > since}

    async def names_until(self, names: set[str], within_s: float = 60.0) -> None:
        """Waits until just these have answered the last hundred requests."""
        async with asyncio.timeout(within_s):
            while {call.name for call in self.calls[-100:]} != names or len(self.calls) < 100:
                await self._one_more()

    async def more_until(self, number: int) -> None:
        """Waits until so many more requests have ended."""
        wanted = len(self.calls) + number
        while len(self.calls) < wanted:
            await self._one_more()

    async def _one_more(self) -> None:
        self._ended.clear()
        await self._ended.wait()


@asynccontextmanager
async def calling(url: str) -> AsyncIterator[Load]:
    """Calls an URL for the length of a block."""
    load = Load()
    over = asyncio.Event()

    async def call_until_over(client: httpx.AsyncClient) -> None:
        while not over.is_set():
            began = time.monotonic()
            name = failure = ""
            try:
                answer = await client.get(url)
                if answer.status_code == 200:
                    name = answer.text.strip()
                else:
                    failure = f"{answer.status_code} {answer.text.strip()}"
            except httpx.TransportError as error:
                failure = repr(error)
            load.add(Call(began, time.monotonic(), name, failure))
            # Some hundred calls a second show all that matters.
            await asyncio.sleep(0.01)

    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        callers = [asyncio.create_task(call_until_over(client)) for _ in range(CALLERS)]
        try:
            yield load
        finally:
            over.set()
            await asyncio.gather(*callers)
