"""The virtual network: one wire for each process that talks to the master.

A wire carries connections, one after the other; each end notices by itself that one is dead:
at once when it is told so, after the keepalive time when nothing comes through. What is sent
into a cut waits there, as TCP's does, and arrives when the cut is mended, unless an end gave
the connection up before. Single calls may besides be lost, doubled or late, as by a proxy.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pullwork_master.core.commands import Command
from simulator.events import MS, Events, Node
from simulator.profile import Profile

if TYPE_CHECKING:
    from simulator.master import Master

Done = Callable[[Any, str], None]


class Call:
    """One call on its way; `done(answer, error)` is told what came of it, once."""

    __slots__ = ("command", "conn", "done", "ended", "forgotten", "number", "reply_lost")

    def __init__(self, number: int, conn: int, command: Command, done: Done) -> None:
        self.number = number
        self.conn = conn
        self.command = command
        self.done = done
        self.ended = False
        # The master was told that nobody waits for it.
        self.forgotten = False
        self.reply_lost = False


class Stream:
    """One notification stream; `heard(event, about)` gets its events in order."""

    __slots__ = ("conn", "heard", "last_at", "open", "session")

    def __init__(self, conn: int, session: str, heard: Callable[[str, Any], None]) -> None:
        self.conn = conn
        self.session = session
        self.heard = heard
        self.open = True
        self.last_at = 0


class Wire:
    """Between one process and the master."""

    def __init__(
        self, node: Node, master: Master, events: Events, dice: random.Random, profile: Profile
    ) -> None:
        self.node = node
        self.master = master
        self._events = events
        self._dice = dice
        self._profile = profile
        # The connection in use, and the last one that the master gave up.
        self.conn = 1
        self.given_up = 0
        self.calls: dict[int, Call] = {}
        self.stream: Stream | None = None
        self.up_cut = False
        self.down_cut = False
        # When something last went wrong on it, so that slowness is excused.
        self.disturbed_at = 0
        self.mended_at = 0
        # Switched off when faults end.
        self.faulty = bool(profile.call_faults)
        self._cuts = 0
        self._stuck_up: list[tuple[Callable[..., None], Any]] = []
        self._stuck_down: list[tuple[Callable[..., None], Any]] = []
        self._next_call = 0
        self._dial_at = 0
        self._refused = 0

    # --- calls --------------------------------------------------------------------------

    def call(self, command: Command, timeout: int, done: Done) -> Call:
        """Sends a command; the answer, or the word for what went wrong, comes to `done`."""
        self._next_call += 1
        call = Call(self._next_call, self.conn, command, done)
        self.calls[call.number] = call
        events = self._events
        if events.now < self._dial_at:
            events.after(self._dice.randint(1, 20) * MS, self.node, self._end, call, "unavailable")
            return call
        events.after(timeout, self.node, self._timed_out, call)
        if self.faulty and self._mishap(call):
            return call
        self._up(self._arrive, call, True)
        return call

    def _mishap(self, call: Call) -> bool:
        """Lets a single call go wrong, perhaps; returns whether it does not arrive at all."""
        chance, roll, events = self._profile.call_faults, self._dice.random, self._events
        lost = roll() < chance.get("request lost", 0)
        call.reply_lost = not lost and roll() < chance.get("reply lost", 0)
        if lost or call.reply_lost:
            self.disturbed_at = events.now
            if roll() < 0.7:  # the proxy says so; else only the deadline does
                wait = self._latency() * 2 + self._dice.randint(0, 200) * MS
                events.after(wait, self.node, self._end, call, "unavailable")
        if roll() < chance.get("request twice", 0):
            self.disturbed_at = events.now
            events.after(self._dice.randint(0, 300) * MS, None, self._up, self._arrive, call, False)
        if roll() < chance.get("request late", 0):
            self.disturbed_at = events.now
            wait = self._dice.randint(0, 2 * self._profile.heartbeat)
            events.after(wait, None, self._up, self._arrive, call, not lost)
            return True
        return lost

    def forget(self, call: Call) -> None:
        """Ends a call that nobody waits for any more."""
        if not call.ended:
            call.ended = True
            del self.calls[call.number]
            self._up(self._forgotten, call)

    def answer(self, call: Call, answer: object) -> None:
        """Carries an answer back."""
        if not call.reply_lost:
            self._down(self._answered, call, answer)

    # --- the stream ---------------------------------------------------------------------

    def open_stream(self, session: str, heard: Callable[[str, Any], None]) -> None:
        """Opens the notification stream; an earlier one ends."""
        self.close_stream()
        self.stream = Stream(self.conn, session, heard)
        if self._events.now < self._dial_at:
            wait = self._dice.randint(1, 20) * MS
            self._events.after(wait, self.node, self._hear, self.stream, "broke", None)
        else:
            self._up(self._stream_arrives, self.stream)

    def close_stream(self) -> None:
        """Ends the stream, from the worker's side."""
        if self.stream is not None:
            self.stream.open = False
            self._up(self.master.stream_closed, self.stream)
            self.stream = None

    def tell(self, stream: Stream, event: str, about: object = None) -> None:
        """Carries an event of the stream, in order."""
        if self.down_cut:
            self._stuck_down.append((self._hear, (stream, event, about)))
            return
        now = self._events.now
        stream.last_at = max(now + self._latency(), stream.last_at)
        self._events.after(stream.last_at - now, self.node, self._hear, stream, event, about)

    # --- faults -------------------------------------------------------------------------

    def disturb(self) -> None:
        """Takes note that something was wrong here until now."""
        self.disturbed_at = self._events.now

    def reset(self) -> None:
        """Breaks the connection: both ends are told at once."""
        self.disturb()
        self._broke(self.conn)

    def cut(self, up: bool, down: bool) -> None:
        """Lets nothing through in one direction or both; both ends notice by keepalive."""
        self.disturb()
        self.up_cut |= up
        self.down_cut |= down
        self._cuts += 1
        for node, notice in ((self.node, self._broke), (self.master, self._master_gave_up)):
            wait = self._dice.randint(*self._profile.keepalive)
            self._events.after(wait, node, self._silent, self._cuts, self.conn, notice)

    def mend(self) -> None:
        """Lets everything through again; what waited in the cut arrives."""
        if not (self.up_cut or self.down_cut):
            return
        self.disturb()
        self.mended_at = self._events.now
        self.up_cut = self.down_cut = False
        self._cuts += 1
        stuck_up, self._stuck_up = self._stuck_up, []
        stuck_down, self._stuck_down = self._stuck_down, []
        wait = self._latency()
        for call, args in stuck_up:
            self._events.outlast(wait, self.master, call, *args)
        for call, args in stuck_down:
            self._events.outlast(wait, self.node, call, *args)

    def hang_up(self) -> None:
        """The process is gone: its kernel says so, as far as the network lets it."""
        self.disturb()
        self.calls.clear()
        self.stream = None
        self._up(self._master_gave_up, self.conn)
        self.conn += 1
        self._dial_at = 0

    def vanish(self) -> None:
        """The process is gone and nobody says so: only keepalive tells."""
        self.disturb()
        self.calls.clear()
        self.stream = None
        wait = self._dice.randint(*self._profile.keepalive)
        self._events.outlast(wait, self.master, self._master_gave_up, self.conn)
        self.conn += 1

    def peer_stands_still(self, frozen: Node) -> None:
        """One end is frozen: the other notices by keepalive, if it lasts."""
        self.disturb()
        until, conn = frozen.thaw_at, self.conn
        wait = self._dice.randint(*self._profile.keepalive)
        if self._events.now + wait < until:
            if frozen is self.node:
                self._events.after(wait, self.master, self._master_gave_up, conn)
            else:
                self._events.after(wait, self.node, self._broke, conn)

    def master_died(self) -> None:
        """The master's process is gone: its kernel says so, as far as the network lets it."""
        self.disturb()
        self.given_up = self.conn
        self._down(self._broke, self.conn)

    # --- what arrives -------------------------------------------------------------------

    def _latency(self) -> int:
        return self._dice.randint(*self._profile.latency)

    def _up(self, call: Callable[..., None], *args: Any) -> None:
        if self.up_cut:
            self._stuck_up.append((call, args))
        else:
            self._events.outlast(self._latency(), self.master, call, *args)

    def _down(self, call: Callable[..., None], *args: Any) -> None:
        if self.down_cut:
            self._stuck_down.append((call, args))
        else:
            self._events.outlast(self._latency(), self.node, call, *args)

    def _arrive(self, call: Call, wanted: bool) -> None:
        """`wanted`: somebody waits for this answer; a doubled request's goes nowhere."""
        if not self._reached(call.conn):
            return
        if wanted and not call.forgotten:
            self.master.ask(call.command, self, call)
        elif not wanted:
            self.master.ask(call.command)

    def _stream_arrives(self, stream: Stream) -> None:
        if self._reached(stream.conn):
            self.master.open_stream(self, stream)

    def _reached(self, conn: int) -> bool:
        """Whether there is a master to take a message; else the sender's kernel hears it."""
        if conn <= self.given_up or not self.master.up:
            self._down(self._broke, conn)
            return False
        return True

    def _answered(self, call: Call, answer: object) -> None:
        if not call.ended and call.conn == self.conn:
            self._refused = 0
            call.ended = True
            del self.calls[call.number]
            call.done(answer, "")

    def _hear(self, stream: Stream, event: str, about: object) -> None:
        if stream is not self.stream or stream.conn != self.conn:
            return
        if event in ("broke", "over", "lost"):
            stream.open = False
            self.stream = None
        else:
            self._refused = 0
        stream.heard(event, about)

    def _forgotten(self, call: Call) -> None:
        call.forgotten = True
        self.master.forget(call)

    def _timed_out(self, call: Call) -> None:
        if not call.ended:
            self.disturb()
            self._up(self._forgotten, call)
            self._end(call, "deadline")

    def _end(self, call: Call, error: str) -> None:
        if not call.ended:
            call.ended = True
            del self.calls[call.number]
            call.done(None, error)

    def _silent(self, cuts: int, conn: int, notice: Callable[[int], None]) -> None:
        if cuts == self._cuts:
            notice(conn)

    def _broke(self, conn: int) -> None:
        """The process learns that its connection is dead: all that was on it has failed."""
        if conn != self.conn:
            return
        self.disturb()
        self._up(self._master_gave_up, conn)
        self.conn += 1
        self._refused = min(self._refused + 1, 6)
        # As gRPC's reconnecting: at once at first, then a little later each time.
        self._dial_at = self._events.now + self._dice.randint(0, 20 * 2**self._refused) * MS
        stream, self.stream = self.stream, None
        for call in list(self.calls.values()):
            self._end(call, "unavailable")
        if stream is not None:
            stream.open = False
            stream.heard("broke", None)

    def _master_gave_up(self, conn: int) -> None:
        """The master learns that a connection is dead."""
        if conn <= self.given_up:
            return
        self.given_up = conn
        if self.master.up:
            self.master.disconnected(self, conn)
            self._down(self._broke, conn)
