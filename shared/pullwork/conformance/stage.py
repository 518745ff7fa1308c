"""Where a scene plays: the stand-in on its port, the worker program, and the findings."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import grpc.aio

from pullwork.channel import server_options
from pullwork.conformance.findings import Findings
from pullwork.conformance.issued import Issued, Session
from pullwork.conformance.program import Program
from pullwork.conformance.stand_in import StandIn
from pullwork.conformance.watch import Watch, now
from pullwork.v1 import master_service_pb2_grpc
from pullwork.v1.worker_pb2 import Ticket

# How long a program may take until it registers, and to do what it is told.
START_S: Final = 20.0
REACT_S: Final = 8.0
LONG_S: Final = 60.0
# By then a heartbeat has listed what arrived, also on a busy machine.
LISTED_S: Final = 3.0
# What a program said just before its end may take so long to arrive.
_ON_ITS_WAY_S: Final = 0.5


class SceneOverError(Exception):
    """The scene can't go on: what it stands on did not happen."""


class NeverRegisteredError(SceneOverError):
    """The program speaks to no master at all; other scenes would end no better."""


class Stage:
    """One program on one port. `master` may be replaced by its successor: `restart`."""

    def __init__(
        self,
        command: Sequence[str],
        findings: Findings,
        boot_ids: set[str],
        work_type: str,
        folder: Path,
    ) -> None:
        self.findings = findings
        self._command = command
        self._boot_ids = boot_ids
        self._work_type = work_type
        self._folder = folder
        self._programs: list[Program] = []
        self._port = _free_port()
        self._server: grpc.aio.Server | None = None
        issued: dict[str, Issued] = {}
        self._watch = Watch(findings, issued, boot_ids)
        self.master = StandIn(self._watch, issued)

    @property
    def program(self) -> Program:
        """The program that was started last."""
        return self._programs[-1]

    async def open(self) -> None:
        """Lets the stand-in listen."""
        self._server = grpc.aio.server(options=server_options())
        master_service_pb2_grpc.add_MasterServiceServicer_to_server(self.master, self._server)
        self._server.add_insecure_port(f"127.0.0.1:{self._port}")
        await self._server.start()

    async def shut(self) -> None:
        """Breaks all connections off, as the death of a master does."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def restart(self) -> None:
        """Puts a master of the next term in the place of this one: it knows no sessions."""
        await self.shut()
        former = self.master
        self.master = StandIn(self._watch, former.issued)
        self.master.terms.term = former.terms.term + 1
        await self.open()

    def start(self) -> Program:
        """Starts the program, or another process of it."""
        self._watch.new_process()
        output = self._folder / f"output-{len(self._programs)}.txt"
        self._programs.append(Program(self._command, f"127.0.0.1:{self._port}", output))
        return self.program

    async def begin(self) -> Session:
        """Opens the port, starts the program, and waits until it listens."""
        await self.open()
        self.start()
        return await self.listening("register", START_S)

    async def listening(self, rule: str, within_s: float = REACT_S) -> Session:
        """Waits until the program has a session with an open stream, and returns that."""
        await self.must(lambda: self.master.session is not None, rule, "did not register", within_s)
        session = self.master.session
        assert session is not None
        await self.must(
            lambda: session.streams > 0 or session.over_at is not None,
            "stream",
            "did not open TaskIncoming",
        )
        self.findings.passed("stream", f"after {now() - session.began_at:.1f} s at most")
        return session

    def work(self, seconds: float = 0.0, size: int = 0) -> Ticket:
        """Makes a ticket that takes so long and returns so much."""
        payload = f'{{"seconds": {seconds}, "size": {size}}}'.encode()
        return Ticket(
            task_id="00000000-0000-4000-8000-000000000000",
            type=self._work_type,
            payload=payload,
            content_type="application/json",
        )

    async def given(self, ticket: Ticket, rule: str) -> Issued:
        """Lays a ticket out and waits until the program has it."""
        session = self.master.session
        types = () if session is None else session.request.task_types
        if ticket.type == self._work_type and ticket.type not in types:
            raise SceneOverError(f"needs a worker that has the type {self._work_type!r}")
        issued = self.master.put(ticket)
        await self.must(
            lambda: issued.given_at is not None, rule, "did not ask for the work that waits"
        )
        return issued

    async def taken(self, ticket: Ticket, rule: str) -> Issued:
        """Lays a ticket out and waits until the program has said that it holds it.

        Who lists no ticket in its heartbeats is judged for that by another rule.
        """
        issued = await self.given(ticket, rule)
        await self.within(issued.arrived, LISTED_S)
        return issued

    async def heard(self, method: str, times: int, rule: str) -> None:
        """Waits until the program made a call so often from now on."""
        since = now()
        await self.must(
            lambda: len(self.master.calls_of(method, since)) >= times, rule, f"sent no {method}"
        )

    async def reopened(self, session: Session, rule: str, else_seen: str, within_s: float) -> None:
        """Waits until the program opened another stream under a session."""
        streams = session.streams
        await self.must(
            lambda: session.streams > streams and session.open is not None,
            rule,
            else_seen,
            within_s,
        )

    async def within(self, true: Callable[[], object], seconds: float) -> bool:
        """Looks again and again until a condition holds, the time is over, or the program ended."""
        deadline = now() + seconds
        while not true():
            if self.program.exit_code is not None:
                deadline = min(deadline, now() + _ON_ITS_WAY_S)
            if now() > deadline:
                return False
            await asyncio.sleep(0.01)
        return True

    async def must(
        self, true: Callable[[], object], rule: str, else_seen: str, seconds: float = REACT_S
    ) -> None:
        """Waits for a condition without which the scene can't go on."""
        if await self.within(true, seconds):
            return
        code = self.program.exit_code
        seen = f"{else_seen} within {seconds:g} s"
        if code is not None:
            seen = f"{else_seen}: it exited with {code}; {self._last_line()}"
        elif not self._boot_ids:
            seen = f"{seen}; {self._last_line()}"
        self.findings.broken(rule, seen)
        # Who did not ask for that rule is not shown what was seen of it.
        shown = "" if self.findings.of(rule) else f": it {seen}"
        if not self._boot_ids:
            raise NeverRegisteredError(f"no process of it ever registered{shown}")
        raise SceneOverError(f"not tried after {rule!r} was broken{shown}")

    def _last_line(self) -> str:
        lines = self.program.last_words().splitlines()
        return f"its last words: {lines[-1][:200]}" if lines else "it said nothing"

    async def close(self) -> None:
        """Ends everything that was started."""
        for program in self._programs:
            program.kill()
        await self.shut()


@asynccontextmanager
async def staged(stage: Stage) -> AsyncIterator[Stage]:
    """Closes a stage whatever happens on it."""
    try:
        yield stage
    finally:
        await stage.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port
