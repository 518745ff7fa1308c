"""The life of one instance on a node, from its ticket or its discovery until it is removed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from pullwork_worker.services.checks import Health, Judge, ask
from pullwork_worker.services.order import Check, Order
from pullwork_worker.services.runner import (
    EXITED,
    START_FAILED,
    UNHEALTHY,
    AwayError,
    Ending,
    Program,
    Runner,
    StartError,
)

log = logging.getLogger("pullwork.worker")


_SOON_S: Final = 0.05


class Phase(IntEnum):
    """Where an instance is; numbered as InstanceState in the contract."""

    PULLING = 2
    STARTING = 3
    HEALTHY = 4
    UNHEALTHY = 5
    STOPPING = 6


class Event(IntEnum):
    """What happens to an instance."""

    PULL = 1
    START = 2
    WELL = 3
    UNWELL = 4
    STOP = 5
    END = 6


_STARTING, _HEALTHY, _UNHEALTHY = Phase.STARTING, Phase.HEALTHY, Phase.UNHEALTHY
# The whole life of an instance. One that ended by itself is UNHEALTHY until the master has taken
# its end: its task stands, so it is not to be taken for one that was told to stop.
NEXT: Final[dict[tuple[Phase, Event], Phase]] = {
    (_STARTING, Event.PULL): Phase.PULLING,
    (Phase.PULLING, Event.PULL): Phase.PULLING,
    (_STARTING, Event.START): _STARTING,
    (Phase.PULLING, Event.START): _STARTING,
    (_STARTING, Event.WELL): _HEALTHY,
    (_HEALTHY, Event.WELL): _HEALTHY,
    (_UNHEALTHY, Event.WELL): _HEALTHY,
    (_STARTING, Event.UNWELL): _UNHEALTHY,
    (_HEALTHY, Event.UNWELL): _UNHEALTHY,
    (_UNHEALTHY, Event.UNWELL): _UNHEALTHY,
    **{(phase, Event.STOP): Phase.STOPPING for phase in Phase},
    **{(phase, Event.END): _UNHEALTHY for phase in Phase if phase is not Phase.STOPPING},
    (Phase.STOPPING, Event.END): Phase.STOPPING,
}


@dataclass(frozen=True, slots=True)
class Claim:
    """The ticket that an instance has at the moment."""

    slot: int
    token: str
    since: float


class Instance:
    """One instance. It tells of each change, and goes on without a ticket.

    `ending` is there once its program has ended, or could not be started. `checked` is set once
    it is known for the first time how it is.
    """

    def __init__(
        self,
        order: Order,
        runner: Runner,
        changed: Callable[[], None],
        ended: Callable[[Instance, Ending], None],
    ) -> None:
        self.order = order
        self.runner = runner
        self.phase = Phase.STARTING
        self.reason = ""
        self.program: Program | None = None
        self.claim: Claim | None = None
        self.ending: Ending | None = None
        self.unwanted = False
        self.checked = asyncio.Event()
        self._changed = changed
        self._ended = ended
        # Why it is stopped by us, if it is: type and words of its end.
        self._stopped: tuple[str, str] | None = None
        # Set once its end is not to be put off any more.
        self._hurried = asyncio.Event()
        self._forsaken = False
        self._life: asyncio.Task[None] | None = None
        self._side: set[asyncio.Task[None]] = set()

    def begin(self, program: Program | None = None) -> None:
        """Begins to live: with a program that was found, or with one that is to be started."""
        self.program = program
        self._life = asyncio.create_task(self._live(), name=self.order.instance_id)

    def stop(self, type: str, message: str, after_s: float = 0.0) -> None:
        """Has its program end gracefully; its end will say why.

        `after_s`: how long its callers need to hear that it ends, before its program does. One that
        is not HEALTHY has none.
        """
        if self.ending is not None:
            return
        if not after_s or self.phase not in (Phase.HEALTHY, Phase.STOPPING):
            self._hurried.set()
        if self._stopped is not None:
            return
        self._stopped = (type, message)
        self._move(Event.STOP, message)
        if self.program is not None:
            self._beside(self._end(self.program, after_s))
        elif self._life is not None:
            self._life.cancel()

    async def _end(self, program: Program, after_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurried.wait(), after_s)
        await program.stop()

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"beside {self.order.instance_id}")
        self._side.add(task)
        task.add_done_callback(self._side.discard)

    async def over(self) -> None:
        """Waits until its program has ended; for one that began to live."""
        if self._life is not None:
            await asyncio.wait({self._life})

    async def forsake(self) -> None:
        """Looks after it no more; its program goes on."""
        self._forsaken = True
        tasks = {it for it in (self._life, *self._side) if it is not None}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _move(self, event: Event, reason: str = "") -> None:
        before = (self.phase, self.reason)
        self.phase, self.reason = NEXT.get((self.phase, event), self.phase), reason
        if (self.phase, self.reason) != before:
            self._changed()

    async def _live(self) -> None:
        try:
            ending = await self._run()
        except StartError as error:
            ending = Ending(error.type, str(error), ended_ms=_now_ms())
        except asyncio.CancelledError:
            if self._forsaken or self._stopped is None:
                raise
            ending = Ending(EXITED, "it had not been started", ended_ms=_now_ms())
        except Exception as error:
            log.exception("a bug ends an instance", extra={"instance": self.order.instance_id})
            ending = Ending(START_FAILED, f"a bug: {error!r}", ended_ms=_now_ms())
        if self._stopped is not None:
            type, message = self._stopped
            ending = ending._replace(type=type, message=f"{message}: {ending.message}")
        self.ending = ending
        self.checked.set()
        self._move(Event.END, ending.message)
        self._ended(self, ending)

    async def _run(self) -> Ending:
        if self.program is None:
            self.program = await self.runner.start(self.order, self._pulling)
        if self.phase is not Phase.STOPPING:
            self._move(Event.START)
            self._changed()
        if self.order.check is None:
            self._well(None)
        else:
            self._beside(self._watch(self.program, self.order.check))
        try:
            return await self.program.ended()
        finally:
            for task in self._side:
                task.cancel()

    def _pulling(self, reason: str) -> None:
        self._move(Event.PULL, reason)

    def _well(self, _: object) -> None:
        self._move(Event.WELL)
        self.checked.set()

    async def _watch(self, program: Program, check: Check) -> None:
        age_s = max(0.0, time.time() - program.started_ms / 1000) if program.started_ms else 0.0
        judge = Judge(check, time.monotonic() - age_s)
        # One that starts is asked sooner, so that it is known at once that it is well.
        soon_s = _SOON_S
        while self._stopped is None:
            try:
                why = await ask(program, check)
            except AwayError:
                # That says nothing of the program: it is asked again, and neither ill nor well.
                await asyncio.sleep(check.interval_s)
                continue
            except Exception as error:
                # Or nobody would ever ask again.
                log.exception("a bug in a check", extra={"instance": self.order.instance_id})
                why = f"a bug in its check: {error!r}"
            health = judge.saw(not why, time.monotonic())
            if health is Health.WELL:
                self._move(Event.WELL)
            elif health is Health.STARTING:
                self._move(Event.START, f"not well yet: {why}")
            elif health is Health.UNWELL:
                self._move(Event.UNWELL, why)
            else:
                message = f"not well for {check.restart_after_s:g} s ({why}), so it was stopped"
                self.stop(UNHEALTHY, message)
                return
            self.checked.set()
            soon_s = min(2 * soon_s, check.interval_s)
            starting = health is Health.STARTING
            await asyncio.sleep(soon_s if starting else check.interval_s)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
