"""Asks the reconciler whenever something has changed, and performs what it says.

The tasks and services that are on the disk are all that is remembered, so a master may die between
any two commands: the next one looks at what there is, and goes on from there. What is refused
(the disk is full, a queue) is tried again at the next look. Should the reconciler itself fail,
services are left as they are, and tasks are served as before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, TypeVar

from pullwork_master.core.commands import Cancel, DropQueue, PutService, Submit
from pullwork_master.core.limits import IDS_MAX, SUBMIT_TASKS_MAX
from pullwork_master.core.rejections import Reason, Rejection
from pullwork_master.engine import Engine
from pullwork_master.orchestrator import records
from pullwork_master.orchestrator.instances import new_task
from pullwork_master.orchestrator.roster import Roster
from pullwork_master.reconciler.model import (
    NODE_PREFIX,
    Plan,
    Roll,
    Seen,
    Service,
    Start,
    Stop,
)
from pullwork_master.reconciler.reconcile import reconcile

log = logging.getLogger("pullwork.master")

# From one look to the next, so that what comes together is looked at together.
GAP_S: Final = 0.05
# Looking takes no more than this part of the processor's time, however much there is to look at.
TIME_SHARE: Final = 0.1
# However quiet it is, what changes without a word is seen after this.
LOOK_EVERY_S: Final = 2.0
# What was refused is tried again after this.
RETRY_S: Final = 1.0
# The queues of nodes that never come back are looked for so often.
TIDY_EVERY_MS: Final = 600_000
# After a bug: doubled each time.
BACKOFF_S: Final = 1.0
BACKOFF_MAX_S: Final = 60.0

_NODE: Final = attrgetter("node")

T = TypeVar("T")
Reconcile = Callable[[Iterable[Service], Seen, int], Plan]


class Loop:
    """Makes what there is into what is wanted. `run` it as a task."""

    def __init__(self, engine: Engine, roster: Roster, decide: Reconcile = reconcile) -> None:
        self._engine = engine
        self._roster = roster
        self._decide = decide
        self._one = asyncio.Lock()
        self._stopped = asyncio.Event()
        # How long to wait for a change; None: for ever.
        self._wait_s: float | None = 0.0
        self._gap_s = GAP_S
        self._looked_at = 0.0
        self._bugs = 0
        self._tidy_due_ms = engine.now().mono_ms + TIDY_EVERY_MS
        # What was refused at the last look, so that it is not told each time.
        self._refused: set[Reason] = set()

    async def run(self) -> None:
        """Looks and acts until `stop`."""
        while not self._stopped.is_set():
            await self._rest()
            if not self._stopped.is_set():
                await self.look()

    def stop(self) -> None:
        """Lets `run` return once what is under way is decided."""
        self._stopped.set()
        self._roster.woken.set()

    async def look(self) -> None:
        """Looks once, and does what is due now."""
        async with self._one:
            self._roster.woken.clear()
            try:
                self._wait_s = await self._pass()
                self._bugs = 0
            except Exception:
                self._wait_s = min(BACKOFF_S * 2**self._bugs, BACKOFF_MAX_S)
                self._bugs = min(self._bugs + 1, 10)
                log.critical(
                    "A BUG IN THE MASTER: services are left as they are, tasks are served; it is "
                    "tried again",
                    exc_info=True,
                    extra={"after_s": self._wait_s},
                )
            self._looked_at = time.monotonic()

    async def _rest(self) -> None:
        """Sleeps until something changes, or a moment has come."""
        if not self._bugs:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._roster.woken.wait(), self._wait_s)
        pause_s = (self._wait_s or 0.0) if self._bugs else self._gap_s
        left_s = self._looked_at + pause_s - time.monotonic()
        if left_s > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), left_s)

    async def _pass(self) -> float | None:
        """Looks and acts; returns how long to wait for a change."""
        roster = self._roster
        again_ms = roster.look()
        if roster.idle:
            return None
        began = time.monotonic()
        now_ms = self._engine.now().wall_ms
        plan = self._decide(roster.wanted(), roster.seen(), now_ms)
        roster.lacking(plan.lacks)
        self._gap_s = max(GAP_S, (time.monotonic() - began) / TIME_SHARE)
        refused: set[Reason] = set()
        if await self._stop(plan.stops, refused):
            # An instance takes the place of another only once that is on the disk.
            missed = await self._start(plan.starts, refused)
            over = self._roster.stock.over
            roster.followed(
                task_id
                for task_id in plan.done
                if task_id in over and over[task_id].ended.instance.id not in missed
            )
        for roll in plan.rolls:
            await self._roll(roll, refused)
        await self._tidy(refused)
        self._tell(refused)
        waits = [LOOK_EVERY_S]
        if refused:
            waits.append(RETRY_S)
        if again_ms:
            waits.append(again_ms / 1000)
        if plan.next_ms:
            waits.append(max(0, plan.next_ms - now_ms) / 1000)
        return min(waits)

    async def _stop(self, stops: Sequence[Stop], refused: set[Reason]) -> bool:
        """Cancels tasks; returns whether all of them."""
        stock = self._roster.stock
        for part in _parts(stops, IDS_MAX):
            # Some may have ended since the plan was made.
            living = [each for each in part if each.task_id in stock.lives]
            names = [stock.lives[each.task_id].spec.instance_id for each in living]
            ids = tuple(each.task_id for each in living)
            if not ids:
                continue
            stock.stopping(ids)
            try:
                await self._engine.ask(Cancel(task_ids=ids, skip_ended=True))
            except Rejection as rejection:
                stock.not_stopped(ids)
                refused.add(rejection.reason)
                return False
            for name, each in zip(names, living, strict=True):
                log.info("instance stopped", extra={"instance": name, "why": each.reason})
        return True

    async def _start(self, starts: Sequence[Start], refused: set[Reason]) -> set[str]:
        """Submits tasks; returns the ids of instances that were refused.

        Each node by itself: one whose queue takes no more holds up no other.
        """
        by_node = groupby(sorted(starts, key=_NODE), key=_NODE)
        parts = [part for _, group in by_node for part in _parts(list(group), SUBMIT_TASKS_MAX)]
        # Asked at once, they are one commit.
        whys = await asyncio.gather(*map(self._submit, parts))
        refused.update(filter(None, whys))
        for why, part in zip(whys, parts, strict=True):
            for each in part if why is None else ():
                log.info(
                    "instance placed",
                    extra={
                        "instance": each.id,
                        "node": each.node,
                        "version": each.version,
                        "restarts": each.restarts,
                    },
                )
        return {
            each.id
            for why, part in zip(whys, parts, strict=True)
            if why is not None
            for each in part
        }

    async def _submit(self, starts: Sequence[Start]) -> Reason | None:
        """Submits tasks to one queue, all or none; returns why not."""
        tasks = tuple(new_task(each) for each in starts)
        try:
            await self._engine.ask(Submit(tasks, keeps_up=True))
        except Rejection as rejection:
            return rejection.reason
        return None

    async def _roll(self, roll: Roll, refused: set[Reason]) -> None:
        """Stores how far an update came, if nobody has changed the service since."""
        kept = self._roster.services.get(roll.service)
        if kept is None or kept.row.revision != roll.revision:
            return
        record, version = records.rolled(kept, roll.rollout, good=roll.good, back=roll.back)
        try:
            await self._engine.ask(PutService(roll.service, record, roll.revision, version))
        except Rejection as rejection:
            if rejection.reason not in (Reason.REVISION_CONFLICT, Reason.SERVICE_NOT_FOUND):
                refused.add(rejection.reason)
            return
        rollout = roll.rollout
        log.info(
            "service rolled",
            extra={
                "service": roll.service,
                "state": rollout.state.name,
                "version": version,
                "why": rollout.reason,
            },
        )

    async def _tidy(self, refused: set[Reason]) -> None:
        """Has the queues of nodes forgotten that are gone for long."""
        now_ms = self._engine.now().mono_ms
        if now_ms < self._tidy_due_ms:
            return
        self._tidy_due_ms = now_ms + TIDY_EVERY_MS
        nodes = self._roster.nodes
        for name in list(self._engine.core.book.queues):
            if name.startswith(NODE_PREFIX) and name.removeprefix(NODE_PREFIX) not in nodes:
                try:
                    await self._engine.ask(DropQueue(name))
                except Rejection as rejection:
                    refused.add(rejection.reason)
                    return

    def _tell(self, refused: set[Reason]) -> None:
        for reason in refused - self._refused:
            log.warning(
                "what services need was refused; it is tried again", extra={"reason": reason.value}
            )
        self._refused = refused


def _parts(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
