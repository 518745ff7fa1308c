"""How time passes for a cluster: in strides, each of which everybody has lived through.

A master whose clock jumps takes itself for paused and expires nobody, and a worker whose
heartbeats don't come in time is given up. So the clock moves by less than either notices, and
stands (but for real time) until master and workers have done what fell due.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from pullwork.testing.clock import Clock
from pullwork.testing.node_thread import NodeThread
from pullwork.testing.parts import Contact, MasterPart, Rest, WorkerPart

# A worker that does not come to rest in this real time hangs, and is not waited for.
HANGS_S: Final = 2.0
# Work that passes between master and workers gets this much real time in one stride.
STRIDE_S: Final = 10.0


class Node(NamedTuple):
    """A worker and the thread that it lives on."""

    thread: NodeThread
    part: WorkerPart


class Passing:
    """One passing of time."""

    def __init__(
        self,
        clock: Clock,
        master_thread: NodeThread,
        master: MasterPart,
        nodes: Mapping[str, Node],
        patience_s: float,
    ) -> None:
        self._clock = clock
        self._master_thread = master_thread
        self._master = master
        self._nodes = nodes
        self._patience_s = patience_s
        # Workers that hang, and what they have still to answer.
        self._hanging: dict[str, asyncio.Future[Rest]] = {}
        self._before: dict[str, Rest] = {}

    async def pass_by(self, seconds: float) -> None:
        """Moves the clock that far."""
        await self._settle()
        while seconds > 0:
            stride_s = min(seconds, self._master.stride_s)
            seconds -= stride_s
            self._clock.move(stride_s)
            self._master_thread.look_at_the_clock()
            for node in self._nodes.values():
                node.thread.look_at_the_clock()
            await self._settle()
        for future in self._hanging.values():
            future.cancel()

    async def _settle(self) -> None:
        """Returns when master and workers are at rest, and agree on what was said last."""
        ends_at = time.monotonic() + STRIDE_S
        while True:
            looking = self._master_thread.begin(self._master.look())
            rests = await self._rests()
            contacts = await looking
            same = rests == self._before
            self._before = rests
            if same and all(_agree(contacts, rest) for rest in rests.values()):
                return
            if time.monotonic() > ends_at:
                return

    async def _rests(self) -> dict[str, Rest]:
        """Waits for the workers to come to rest, except those that can't."""
        asked = {
            name: self._hanging[name]
            if name in self._hanging
            else node.thread.begin(node.part.rest(self._patience_s))
            for name, node in self._nodes.items()
            if not node.thread.frozen and not self._hangs(name)
        }
        if asked:
            await asyncio.wait(asked.values(), timeout=HANGS_S + self._patience_s)
        hanging = {name: rest for name, rest in asked.items() if not rest.done()}
        self._hanging = hanging | {it: self._hanging[it] for it in self._hanging if self._hangs(it)}
        return {name: rest.result() for name, rest in asked.items() if rest.done()}

    def _hangs(self, name: str) -> bool:
        return name in self._hanging and not self._hanging[name].done()


def _agree(contacts: Mapping[str, Contact], rest: Rest) -> bool:
    """Whether nothing is on its way between the master and a worker."""
    contact = contacts.get(rest.session_id)
    return contact is None or contact.parked == rest.parked
