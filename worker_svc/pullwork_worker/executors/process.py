"""Runs functions in child processes, one for each slot: the default for `def`.

A child that ends, or has to be killed, is replaced at once. Children are started by exec, never
by fork: a fork of a process that has loaded gRPC hangs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from pullwork_worker.executors.child_link import ChildLink, ChildSetup
from pullwork_worker.executors.work import Sink
from pullwork_worker.machine.ticket import Ticket

# Children that die before they are ready are replaced no faster than this.
_BOOT_PAUSE_S: Final = 0.5
# What children get to send their traces when the worker leaves.
_PART_S: Final = 3.0

log = logging.getLogger("pullwork.worker")


class ProcessExecutor:
    """A child for each slot."""

    def __init__(self, slots: int, setup: ChildSetup, sink: Sink, booting_max: int) -> None:
        self._setup = setup
        self._sink = sink
        self._links: list[ChildLink | None] = [None] * slots
        self._booting = asyncio.Semaphore(booting_max)
        self._keepers: list[asyncio.Task[None]] = []
        self._closing = False

    def open(self) -> None:
        """Starts all children, a few at a time."""
        self._keepers = [
            asyncio.create_task(self._keep(slot), name=f"child of slot {slot}")
            for slot in range(len(self._links))
        ]
        for keeper in self._keepers:
            keeper.add_done_callback(self._keeper_over)

    def start(self, slot: int, tickets: Sequence[Ticket]) -> None:
        """Writes attempts to the slot's child."""
        link = self._links[slot]
        assert link is not None, "the machine gives to ready children only"
        link.start(tickets)

    def take_back(self, slot: int) -> list[str]:
        """Takes back what the slot's child has not begun."""
        link = self._links[slot]
        return link.take_back() if link is not None else []

    def stop(self, slot: int, ticket: Ticket) -> None:
        """Sets the flag that the attempt may look at."""
        link = self._links[slot]
        if link is not None:
            link.cancel(ticket.token)

    def kill(self, slot: int, ticket: Ticket) -> None:
        """Kills the slot's child; another takes its place."""
        link = self._links[slot]
        if link is not None:
            log.warning(
                "killing the child process of a task that does not end",
                extra={"slot": slot, "type": ticket.type},
            )
            link.killed = True
            link.kill()

    async def close(self) -> None:
        """Kills all children; those with traces that are not sent yet may send them before."""
        self._closing = True
        if self._setup.traced_as:
            links = [link for link in self._links if link is not None and link.part()]
            if links:
                await asyncio.wait([self._keepers[it.slot] for it in links], timeout=_PART_S)
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    def _keeper_over(self, keeper: asyncio.Task[None]) -> None:
        error = None if keeper.cancelled() else keeper.exception()
        if error is not None:
            self._sink.crash(error)

    async def _keep(self, slot: int) -> None:
        while not self._closing:
            link = ChildLink(slot, self._setup, self._sink)
            async with self._booting:
                self._links[slot] = link
                life = asyncio.create_task(link.live(), name=f"life of the child of slot {slot}")
                try:
                    await link.booted.wait()
                except asyncio.CancelledError:
                    life.cancel()
                    await asyncio.wait({life})
                    raise
            await self._mourn(link, life)
            if not link.ready:
                await asyncio.sleep(_BOOT_PAUSE_S)

    async def _mourn(self, link: ChildLink, life: asyncio.Task[None]) -> None:
        try:
            await life
        except OSError as error:
            log.error("a child process can't be started: %s", error, extra={"slot": link.slot})
        finally:
            self._links[link.slot] = None
        if not self._closing:
            self._sink.child_gone(link.slot, link.unclaimed, link.evidence())
