"""The virtual master: the real core, with an engine and streams that go as the real ones do.

The order of calls (wants, find, step, commit, settle, speak) is the engine's; what is a wait
there takes virtual time here, and a death or a freeze may come between any two.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from pullwork_master.core import commands as c
from pullwork_master.core.effects import (
    Available,
    DrainAsked,
    Effects,
    Found,
    News,
    Revoked,
    SessionEnded,
    Wants,
)
from pullwork_master.core.machine import Core
from pullwork_master.core.model import Now
from pullwork_master.core.rejections import Reason, Rejection
from pullwork_master.engine import LAST_BYTES, needed_bytes
from pullwork_master.storage.base import StorageFullError, store
from simulator.disk import Disk
from simulator.events import MS, SECOND, Events, Node
from simulator.profile import Profile
from simulator.story import Story
from simulator.wire import Call, Stream, Wire

if TYPE_CHECKING:
    from simulator.laws import Laws
    from simulator.liveness import Liveness

BATCH_MAX: Final = 512
LOOK_EVERY: Final = SECOND
EPOCH_WALL_MS: Final = 1_700_000_000_000


class Box:
    """The mailbox of an open stream."""

    __slots__ = ("available", "drain", "ended", "number", "revoked", "rings", "stream", "wire")

    def __init__(self, wire: Wire, stream: Stream) -> None:
        self.wire = wire
        self.stream = stream
        # Of the stream, once the core knows it.
        self.number = 0
        self.available: tuple[str, ...] = ()
        self.revoked: list[str] = []
        self.drain = False
        self.ended = False
        # Counts what was taken out, so that a tick knows whether it is still due.
        self.rings = 0


class Master(Node):
    """One master process and what it finds on its disk at each start."""

    def __init__(
        self, events: Events, dice: random.Random, profile: Profile, disk: Disk, story: Story
    ) -> None:
        super().__init__("master")
        self._events = events
        self._dice = dice
        self._profile = profile
        self._story = story
        self.disk = disk
        self.laws: Laws
        self.liveness: Liveness
        # How far its wall clock is off.
        self.wall_off_ms = 0
        self.steps = 0
        self.disturbed_at = 0
        self.core: Core
        self.boxes: dict[str, Box] = {}
        self._calls = 0
        self._inbox: list[tuple[int, c.Command]] = []
        self._waiting: dict[int, tuple[c.Command, Wire | None, Call | None, Box | None]] = {}
        self._busy = False
        self._due = False
        self._rest = 0

    def now(self) -> Now:
        """Reads both clocks."""
        ms = self._events.now // MS
        return Now(ms + 1_000_000, EPOCH_WALL_MS + ms + self.wall_off_ms)

    def start(self) -> None:
        """Starts on what is on the disk."""
        self.up = True
        self.disturbed_at = self._events.now
        self._inbox, self._waiting, self.boxes = [], {}, {}
        self._busy = self._due = False
        self.core = Core(self._profile.policy, self.disk.open(), self.now())
        self.laws.master_started(self.core)
        if self._story.told:
            self._tell("starts", f"term {self.core.book.term}")
        self._ring()

    def die(self) -> None:
        """Loses everything that is not on the disk."""
        super().die()
        self.disturbed_at = self._events.now
        self.boxes, self._waiting, self._inbox = {}, {}, []

    # --- the engine ---------------------------------------------------------------------

    def ask(
        self,
        command: c.Command,
        wire: Wire | None = None,
        call: Call | None = None,
        box: Box | None = None,
    ) -> None:
        """Puts a command to the core; the answer leaves once it is committed."""
        if not self._has_room(needed_bytes(command)):
            if wire is not None and call is not None:
                wire.answer(call, _disk_full())
            return
        self._calls += 1
        self._waiting[self._calls] = (command, wire, call, box)
        self._inbox.append((self._calls, command))
        if not self._busy:
            self._ring()

    def forget(self, call: Call) -> None:
        """Hears that nobody waits for a call any more."""
        for number, (command, wire, waiting, box) in self._waiting.items():
            if waiting is call:
                self._waiting[number] = (command, wire, None, box)
                if isinstance(command, c.Request) and command.wait_ms:
                    self.ask(c.Unpark(command.session, number))
                return

    def _ring(self) -> None:
        if not self._due:
            self._due = True
            self._events.after(0, self, self._turn)

    def _turn(self) -> None:
        if self._busy:
            return
        self._due = False
        self._rest += 1
        batch, self._inbox = self._inbox[:BATCH_MAX], self._inbox[BATCH_MAX:]
        wants = self.core.wants(batch)
        self._busy = True
        if wants:
            self._events.after(self._dice.randint(50, 500), self, self._decide, batch, wants)
        else:
            self._decide(batch, wants)

    def _decide(self, batch: list[tuple[int, c.Command]], wants: Wants) -> None:
        found: Found | None = self.disk.find(wants) if wants else None
        before = self.core.book.now
        effects = self.core.step(batch, self.now(), wants, found)
        self.steps += 1
        if self._story.told:
            self._tell_step(batch, effects, self.core.book.now.mono_ms - before.mono_ms)
        if effects.writes.sweep_before_ms and not self._has_room(LAST_BYTES):
            effects.writes.sweep_before_ms = 0
            self.core.swept(0)
        if effects.writes:
            wait = self._dice.randint(*self._profile.commit)
            self._events.after(wait, self, self._store, effects)
        else:
            self._settle(effects, None)

    def _store(self, effects: Effects) -> None:
        try:
            swept = store(self.disk, effects.writes)
        except StorageFullError:
            self._start_over()
            return
        # It is on disk; that it is must still be heard of.
        self._events.after(self._dice.randint(0, 2_000), self, self._settle, effects, swept)

    def _settle(self, effects: Effects, swept: int | None) -> None:
        if swept is not None and effects.writes.sweep_before_ms:
            self.core.swept(swept)
        self.core.settle()
        self.laws.committed(self, effects)
        for event, facts in effects.notes:
            if event == "worker suspect":
                self.liveness.doubted(str(facts["session"]), str(facts["why"]))
        self._speak(effects)
        self._busy = False
        self._wait()

    def _wait(self) -> None:
        if self._inbox or self.core.hungry():
            self._ring()
            return
        due_ms = self.core.due_in_ms(self.now())
        wait = LOOK_EVERY if due_ms is None else min(LOOK_EVERY, due_ms * MS)
        self._events.after(wait, self, self._look, self._rest)

    def _look(self, rest: int) -> None:
        if rest == self._rest and not self._busy:
            self._turn()  # before whatever else waited with it, if the master stood still

    def _speak(self, effects: Effects) -> None:
        for number, answer in effects.answers:
            self._answer(number, answer)
        for number, rejection in effects.refusals:
            self._answer(number, rejection)
        for session, news in effects.news:
            box = self.boxes.get(session)
            if box is not None:
                self._put(box, news)

    def _answer(self, number: int, answer: object) -> None:
        command, wire, call, box = self._waiting.pop(number, (None, None, None, None))
        if command is None:
            return
        self.laws.told(command, answer)
        if box is not None:
            self._stream_stands(box, answer)
        elif wire is not None and call is not None:
            wire.answer(call, answer)

    def _has_room(self, wanted_bytes: int) -> bool:
        free_bytes = self.disk.free_bytes()
        return free_bytes is None or free_bytes >= wanted_bytes

    def _start_over(self) -> None:
        """Refuses all that waits when the disk has no room, and goes back to what is on it."""
        self.disturbed_at = self._events.now
        waiting, self._waiting = self._waiting, {}
        self._inbox = []
        for _, wire, call, box in waiting.values():
            if box is not None:
                self._end_stream(box, "broke")
            elif wire is not None and call is not None:
                wire.answer(call, _disk_full())
        former = self.core
        self.core = Core(self._profile.policy, self.disk.reload(), self.now())
        self.core.follow(former)
        self.laws.master_started(self.core)
        for session in former.book.sessions:
            if session in self.boxes:
                self._put(self.boxes[session], SessionEnded("the master's disk was full"))
        if self._story.told:
            self._tell("starts over", "the disk is full")
        self._busy = False
        self._wait()

    # --- the streams --------------------------------------------------------------------

    def open_stream(self, wire: Wire, stream: Stream) -> None:
        """Takes a stream; the mailbox stands before the core knows of it."""
        former = self.boxes.get(stream.session)
        if former is not None:
            self._end_stream(former, "over")
        box = self.boxes[stream.session] = Box(wire, stream)
        self.ask(c.OpenStream(stream.session), box=box)

    def stream_closed(self, stream: Stream) -> None:
        """Hears that a worker closed its stream."""
        box = self.boxes.get(stream.session)
        if box is not None and box.stream is stream:
            self._close(box)

    def disconnected(self, wire: Wire, conn: int) -> None:
        """Hears that a connection is dead: streams and parked calls on it end."""
        for box in list(self.boxes.values()):
            if box.wire is wire and box.stream.conn <= conn:
                self._close(box)
        dead = [
            call
            for _, at, call, _ in self._waiting.values()
            if at is wire and call is not None and call.conn <= conn
        ]
        for call in dead:
            self.forget(call)

    def _stream_stands(self, box: Box, answer: object) -> None:
        if isinstance(answer, Rejection):
            self._end_stream(box, "lost", answer)
            return
        assert isinstance(answer, int)
        box.number = answer
        if self.boxes.get(box.stream.session) is not box:
            self.ask(c.StreamBroke(box.stream.session, box.number))
            return
        box.wire.tell(box.stream, "members")
        self._tick_later(box)
        self._ring_box(box)

    def _close(self, box: Box) -> None:
        if self.boxes.get(box.stream.session) is box:
            del self.boxes[box.stream.session]
        if box.number:
            self.ask(c.StreamBroke(box.stream.session, box.number))
            box.number = 0

    def _end_stream(self, box: Box, how: str, why: object = None) -> None:
        box.wire.tell(box.stream, how, why)
        self._close(box)

    def _put(self, box: Box, news: News) -> None:
        if isinstance(news, Available):
            box.available = news.types
        elif isinstance(news, Revoked):
            box.revoked.extend(news.tokens)
        elif isinstance(news, DrainAsked):
            box.drain = True
        else:
            box.ended = True
        self._ring_box(box)

    def _ring_box(self, box: Box) -> None:
        if box.number and (box.available or box.revoked or box.drain or box.ended):
            self._events.after(0, self, self._take, box)

    def _take(self, box: Box) -> None:
        if self.boxes.get(box.stream.session) is not box:
            return
        tell, stream = box.wire.tell, box.stream
        if box.revoked:
            tell(stream, "cancel", tuple(box.revoked))
        if box.drain:
            tell(stream, "drain")
        if box.available:
            tell(stream, "available", box.available)
        box.available, box.revoked, box.drain = (), [], False
        if box.ended:
            self._end_stream(box, "lost", self.core.sessions.lost(stream.session))
            return
        box.rings += 1
        self._tick_later(box)

    def _tick_later(self, box: Box) -> None:
        session = self.core.book.sessions.get(box.stream.session)
        wait = self._profile.heartbeat if session is None else session.tick_within_ms * MS
        self._events.after(wait, self, self._tick, box, box.rings)

    def _tick(self, box: Box, rings: int) -> None:
        session_id = box.stream.session
        if rings != box.rings or self.boxes.get(session_id) is not box:
            return
        box.wire.tell(box.stream, "tick")
        session = self.core.book.sessions.get(session_id)
        if session is not None and session.parked is None:
            types = self.core.dispatch.available(session)
            if types:  # a hint that was lost, or came when the worker was busy, is given again
                box.wire.tell(box.stream, "available", types)
        self._tick_later(box)

    # --- for people ---------------------------------------------------------------------

    def _tell(self, what: str, *facts: object) -> None:
        self._story.tell(self._events.now, self.name, what, *facts)

    def _tell_step(
        self, batch: list[tuple[int, c.Command]], effects: Effects, passed_ms: int
    ) -> None:
        if passed_ms > self._profile.policy.pause_ms:
            self._tell("was paused", f"{passed_ms} ms")
        for number, command in batch:
            self._tell("decides", f"#{number}", command)
        for number, answer in (*effects.answers, *effects.refusals):
            self._tell("answers", f"#{number}", type(answer).__name__, answer)
        for task in effects.changed.values():
            self._tell("moves", task.spec.id, task.state.name, f"attempt {task.attempt}")
        for event, facts in effects.notes:
            self._tell("notes", event, facts)


def _disk_full() -> Rejection:
    return Rejection(Reason.DISK_FULL, "the virtual disk is full", retry_after_ms=1_000)
