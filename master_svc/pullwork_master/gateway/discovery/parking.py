"""Requests that wait for a change: so many at once, so long, and not woken for each trifle.

A change may wake hundreds, and seldom comes alone: a rolling update changes an instance several
times within a second. So whoever is woken waits a moment more and finds all of it; and the more
are woken, the further apart they are answered, so that the master does other things in between.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from pullwork_master.gateway.discovery.catalogue import Catalogue

# Half of the connections, so that the door answers all others however many wait.
PARKED_MAX: Final = 500
GATHER_S: Final = 0.05
# To answer one takes some 0.2 ms.
APART_S: Final = 0.0005
# As in Consul: a wait is longer by up to this share, so that not all end in one moment.
JITTER: Final = 1 / 16


class FullError(Exception):
    """So many wait that no more may."""


class Parking:
    """Where requests wait for a catalogue to change."""

    def __init__(
        self, catalogue: Catalogue, parked_max: int = PARKED_MAX, gather_s: float = GATHER_S
    ) -> None:
        self._catalogue = catalogue
        self._max = parked_max
        self._gather_s = gather_s
        self._parked = 0
        self._over = asyncio.Event()

    @property
    def parked(self) -> int:
        """How many wait."""
        return self._parked

    def end(self) -> None:
        """Lets all go that wait, and all that come."""
        self._over.set()

    async def wait(
        self,
        generation: int,
        service: str,
        wait_s: float,
        until_gone: Callable[[], Coroutine[Any, Any, None]],
    ) -> bool:
        """Waits until the generation is another one, the time is up, or `end`.

        Returns False if the client went before. Errors: FullError.
        """
        if self._over.is_set() or self._catalogue.generation(service) != generation:
            return True
        if self._parked >= self._max:
            raise FullError
        self._parked += 1
        try:
            return await self._wait(generation, service, wait_s, until_gone)
        finally:
            self._parked -= 1

    async def settle(
        self, wait_s: float, until_gone: Callable[[], Coroutine[Any, Any, None]]
    ) -> bool:
        """Waits until it is known what there is, the time is up, or `end`.

        Returns False if the client went before. Errors: FullError.
        """
        clock = asyncio.get_running_loop().time
        until_s = clock() + wait_s
        while not self._catalogue.settled and not self._over.is_set() and clock() < until_s:
            generation = self._catalogue.generation()
            if not await self.wait(generation, "", until_s - clock(), until_gone):
                return False
        return True

    async def _wait(
        self,
        generation: int,
        service: str,
        wait_s: float,
        until_gone: Callable[[], Coroutine[Any, Any, None]],
    ) -> bool:
        left = asyncio.create_task(until_gone())
        changed = asyncio.create_task(self._catalogue.changed(generation, service))
        over = asyncio.create_task(self._over.wait())
        tasks = (left, changed, over)
        longer_s = wait_s * JITTER * random.random()
        try:
            await asyncio.wait(
                tasks, timeout=wait_s + longer_s, return_when=asyncio.FIRST_COMPLETED
            )
            if changed.done() and not over.done():
                moment_s = self._gather_s + random.random() * APART_S * self._parked
                await asyncio.wait(
                    {left, over}, timeout=moment_s, return_when=asyncio.FIRST_COMPLETED
                )
            return not left.done()
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
