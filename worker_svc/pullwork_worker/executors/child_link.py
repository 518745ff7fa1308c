"""The worker's side of one child process: writes work, reads replies, knows what began.

A child's whole life is here, from its start to the evidence of its end; which child
follows it is the affair of `ProcessExecutor`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from pullwork_worker.executors import frames
from pullwork_worker.executors.output import Output
from pullwork_worker.executors.work import End, Sink, Work
from pullwork_worker.machine.ticket import Blame, Failure, Note, Outcome, Success, Ticket

# How long what a dead child wrote may take to arrive; a process it left behind may hold the pipe.
_LAST_WORDS_S: Final = 1.0

log = logging.getLogger("pullwork.worker")


@dataclass(frozen=True, slots=True)
class ChildSetup:
    """What every child of a worker is given."""

    modules: tuple[str, ...]
    memory_limit: int | None
    # The worker's name, if its children are to trace what they run; else empty.
    traced_as: str = ""


class ChildLink(asyncio.Protocol):
    """One child, for one slot."""

    def __init__(self, slot: int, setup: ChildSetup, sink: Sink) -> None:
        self.slot = slot
        self.ready = False
        self.booted = asyncio.Event()
        self.boot_error: Failure | None = None
        self.unclaimed: list[str] = []
        self.killed = False
        self._setup = setup
        self._sink = sink
        self._frames = frames.Frames()
        self._seq = 0
        self._unreplied: deque[tuple[int, str]] = deque()
        self._fresh = False
        self._output = Output(slot)
        self._eof = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._claims: socket.socket | None = None
        # The child's end, kept to take claims back: whoever reads a byte owns it.
        self._claims_taken: socket.socket | None = None
        self._control: socket.socket | None = None

    async def live(self) -> None:
        """Starts the child, and returns when it has ended and all it said is read."""
        loop = asyncio.get_running_loop()
        data, child_data = socket.socketpair()
        self._claims, self._claims_taken = socket.socketpair()
        self._control, child_control = socket.socketpair()
        for own in (data, self._claims, self._control):
            own.setblocking(False)
        try:
            with child_data, child_control:
                ends = (child_data, self._claims_taken, child_control)
                fds = [end.fileno() for end in ends]
                self._process = await self._spawn(fds)
            await loop.create_connection(lambda: self, sock=data)
            path = [entry or str(os.getcwd()) for entry in sys.path]
            given = self._setup
            limit = given.memory_limit or 0
            self._write(frames.pack((path, given.modules, limit, os.getpid(), given.traced_as)))
            await self._process.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self._eof.wait()
                    await self._output.ended.wait()
        finally:
            self.booted.set()
            self.kill()
            self.unclaimed = self._never_begun()
            self._close(data)
            if self._process is not None:
                await self._process.wait()

    async def _spawn(self, fds: list[int]) -> asyncio.subprocess.Process:
        with await self._output.open() as end:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "pullwork_worker.executors.child",
                *map(str, fds),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=end,
                stderr=end,
                pass_fds=fds,
                start_new_session=True,
            )

    def _close(self, data: socket.socket) -> None:
        if self._transport is not None:
            self._transport.abort()
        else:
            data.close()
        self._output.close()
        for end in (self._claims, self._claims_taken, self._control):
            if end is not None:
                end.close()

    # Work.

    def start(self, tickets: Sequence[Ticket]) -> None:
        """Writes attempts to the child, to run one after the other."""
        attempts = []
        for ticket in tickets:
            self._seq += 1
            self._unreplied.append((self._seq, ticket.token))
            attempts.append((self._seq, *cast(Work, ticket.work)))
        self._write(frames.pack(tuple(attempts)))
        claims = frames.CLAIM * len(tickets)
        if self._fresh:
            claims = frames.CLAIM_FRESH + claims[1:]
            self._fresh = False
        assert self._claims is not None
        self._tell(self._claims, claims)

    def take_back(self) -> list[str]:
        """Takes the claims back that the child has not taken; returns the tokens, in order."""
        count = self._unclaimed()
        if not count:
            return []
        taken = [self._unreplied.pop() for _ in range(min(count, len(self._unreplied)))]
        taken.reverse()
        assert self._control is not None
        revoked = b"".join(frames.CONTROL.pack(frames.REVOKE, seq) for seq, _ in taken)
        self._tell(self._control, revoked)
        self._fresh = True
        return [token for _, token in taken]

    def _never_begun(self) -> list[str]:
        """Returns, after the child's end, the tokens that it did not begin."""
        count = self._unclaimed()
        tokens = [token for _, token in self._unreplied]
        return tokens[len(tokens) - min(count, len(tokens)) :]

    def _unclaimed(self) -> int:
        if self._claims_taken is None:
            return 0
        try:
            return len(self._claims_taken.recv(64 * 1024, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return 0

    def cancel(self, token: str) -> None:
        """Sets the flag that an attempt may look at."""
        for seq, held in self._unreplied:
            if held == token and self._control is not None:
                self._tell(self._control, frames.CONTROL.pack(frames.CANCEL, seq))

    def part(self) -> bool:
        """Lets a child that runs nothing end by itself; False if it can't."""
        if self._unreplied or not self.ready or self._transport is None:
            return False
        self._transport.write_eof()
        return True

    def kill(self) -> None:
        """Kills the child and all that it started."""
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _tell(self, end: socket.socket, data: bytes) -> None:
        try:
            end.send(data)
        except OSError as error:
            # Full or broken: a child that reads nothing for so long is no use any more.
            log.warning("child process does not listen", extra={"error": str(error)})
            self.kill()

    # What the child says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, _: Exception | None) -> None:
        """Notes that the child says nothing more; one that goes on all the same is killed."""
        self._eof.set()
        self.kill()

    def data_received(self, data: bytes) -> None:
        """Passes replies on, all that came together at once."""
        ends: list[End] = []
        for frame in self._frames.feed(data):
            kind = frame[0]
            if kind == frames.SUCCESS:
                ends.append(self._end(frame, Success(frame[3], frame[4])))
            elif kind == frames.FAILURE:
                failure = Failure(Blame(frame[3]), frame[4], frame[5], frame[6], frame[7])
                ends.append(self._end(frame, failure))
            elif kind == frames.NOTE:
                if ends:  # the note may be of an attempt that began after these ended
                    self._sink.ended(ends)
                    ends = []
                self._noted(frame)
            elif kind == frames.READY:
                self.ready = True
                self.booted.set()
                self._sink.child_ready(self.slot)
            elif kind == frames.BOOT_FAILED:
                _, name, message, details = frame
                self.boot_error = Failure(Blame.WORKER_LOST, name, message, details)
        if ends:
            self._sink.ended(ends)

    def _end(self, frame: tuple[Any, ...], outcome: Outcome) -> End:
        seq, token = self._unreplied.popleft()
        assert seq == frame[1], "replies come in the order of the work"
        return self.slot, token, outcome, frame[2]

    def _noted(self, frame: tuple[Any, ...]) -> None:
        _, seq, fraction, message, checkpoint = frame
        if self._unreplied and self._unreplied[0][0] == seq:
            self._sink.noted(self._unreplied[0][1], Note(fraction, message, checkpoint))

    def evidence(self) -> Failure:
        """Says how the child ended, after `live`."""
        if self.boot_error is not None:
            return self.boot_error
        code = self._process.returncode if self._process is not None else None
        how = (
            "was killed: it did not end when it was asked to" if self.killed else how_it_ended(code)
        )
        message = f"the process that ran the attempt {how}"
        return Failure(Blame.WORKER_LOST, "pullwork.ProcessDied", message, self._output.tail())


def how_it_ended(code: int | None) -> str:
    """Says an exit code in words."""
    if code is None:
        return "did not start"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    hint = " (if nobody sent it: the kernel, out of memory)" if name == "SIGKILL" else ""
    return f"was killed by signal {name}{hint}"
