"""Puts a master's telemetry together, beside the engine: it listens, and nobody knows of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from pullwork.telemetry import Telemetry
from pullwork.telemetry.spans import Spans, about
from pullwork_master.core.effects import Effects, Move
from pullwork_master.core.leases import former_attempt
from pullwork_master.core.transitions import Event
from pullwork_master.engine import Engine
from pullwork_master.telemetry.counts import Counts
from pullwork_master.telemetry.labels import LineLabels
from pullwork_master.telemetry.levels import Levels
from pullwork_master.views import Views

log = logging.getLogger("pullwork.master")

_LOOK_EVERY_S: Final = 0.25


class Watch:
    """One master's. To be made on the loop's thread, when the engine has started."""

    def __init__(self, telemetry: Telemetry, engine: Engine, disk: Views) -> None:
        self._engine = engine
        self._spans = telemetry.spans
        self._counts: Counts | None = None
        self._failed = False
        self._looking: asyncio.Task[None] | None = None
        if telemetry.meter is not None:
            lines = LineLabels()
            self._counts = Counts(telemetry.meter, lines)
            Levels(telemetry.meter, lines, engine, disk)
            self._looking = asyncio.create_task(self._look(self._counts), name="loop lag")
        engine.listen(self._tell)

    def stop(self) -> None:
        """Looks no more."""
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self, counts: Counts) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + _LOOK_EVERY_S
            await asyncio.sleep(_LOOK_EVERY_S)
            counts.lag(max(0.0, loop.time() - due_s))

    def _tell(self, effects: Effects) -> None:
        if self._failed:
            return
        try:
            self._add(effects)
        except Exception:  # whatever it is, it must not cost the master
            self._failed = True
            log.exception("a bug ends this master's telemetry; the master goes on")

    def _add(self, effects: Effects) -> None:
        if self._counts is not None:
            now_ms = self._engine.core.book.now.wall_ms
            self._counts.tell(effects, self._engine.commit_s, now_ms)
        if self._spans is not None:
            for move in effects.moves:
                if move.event is Event.GRANT:
                    _tell_wait(self._spans, move)


def _tell_wait(spans: Spans, move: Move) -> None:
    """Makes the span of a wait that ended with a grant."""
    task, spec = move.task, move.task.spec
    spans.waited(
        dict(spec.headers),
        about("wait", spec.queue, spec.type, spec.id) | {"pullwork.worker": move.worker},
        move.attempt,
        move.waited_since_ms,
        move.started_ms,
        former_attempt(task, move.attempt),
    )
