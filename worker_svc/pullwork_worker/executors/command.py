"""Runs programs: the payload on stdin, the result on stdout.

An exit code other than 0 is a failure of the task, with the tail of stderr as its details. What
the task is stands in the program's environment: TASK_ID, TASK_TYPE, TASK_ATTEMPT, TASK_QUEUE,
TASK_OWNER and TASK_CONTENT_TYPE; with telemetry TRACEPARENT and TRACESTATE, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from pullwork_worker.executors.child_link import how_it_ended
from pullwork_worker.executors.invoke import unusable_result
from pullwork_worker.executors.output import TAIL_BYTES_MAX
from pullwork_worker.executors.tracing import AttemptTracing, trace_words
from pullwork_worker.executors.work import Sink, Work
from pullwork_worker.machine.ticket import Blame, Failure, Outcome, Success, Ticket

# How long pipes may stay open after the program ended; one that it left behind may hold them.
_LAST_WORDS_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Command:
    """A program for a type."""

    argv: tuple[str, ...]
    content_type: str = "application/octet-stream"


class CommandExecutor:
    """Runs a program for each attempt, in a process group of its own."""

    def __init__(
        self,
        commands: Mapping[str, Command],
        sink: Sink,
        result_bytes_max: int,
        tracing: AttemptTracing | None = None,
    ) -> None:
        self._tracing = tracing
        self._commands = commands
        self._sink = sink
        self._result_bytes_max = result_bytes_max
        self._running: dict[int, asyncio.Task[None]] = {}
        self._groups: dict[int, int] = {}

    def start(self, slot: int, tickets: Sequence[Ticket]) -> None:
        """Starts the program."""
        (ticket,) = tickets
        work = cast(Work, ticket.work)
        name = f"{work.type} {work.task_id}"
        self._running[slot] = asyncio.create_task(self._run(slot, work), name=name)

    def take_back(self, slot: int) -> list[str]:
        """Has nothing to take back: programs have no lanes."""
        return []

    def stop(self, slot: int, ticket: Ticket) -> None:
        """Sends SIGTERM to the program and what it started."""
        self._signal(slot, signal.SIGTERM)

    def kill(self, slot: int, ticket: Ticket) -> None:
        """Sends SIGKILL to the program and what it started."""
        self._signal(slot, signal.SIGKILL)

    async def close(self) -> None:
        """Kills all programs."""
        for slot in list(self._groups):
            self._signal(slot, signal.SIGKILL)
        for task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _signal(self, slot: int, number: signal.Signals) -> None:
        if slot in self._groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._groups[slot], number)

    async def _run(self, slot: int, work: Work) -> None:
        started = time.perf_counter()
        command = self._commands[work.type]
        outcome: Outcome
        try:
            attempt = self._attempt(slot, work, command)
            if self._tracing is not None:
                attempt = self._tracing.follow(work, attempt)
            outcome = await attempt
        except OSError as error:
            message = f"the program {command.argv[0]!r} can't be started: {error.strerror}"
            outcome = Failure(Blame.APPLICATION, "pullwork.CommandNotStarted", message)
        finally:
            self._signal(slot, signal.SIGKILL)
            self._groups.pop(slot, None)
            self._running.pop(slot, None)
        self._sink.ended([(slot, work.token, outcome, time.perf_counter() - started)])

    async def _attempt(self, slot: int, work: Work, command: Command) -> Outcome:
        pipe = asyncio.subprocess.PIPE
        words = _words(work) if self._tracing is None else _words(work) | trace_words()
        transport, program = await asyncio.get_running_loop().subprocess_exec(
            lambda: Program(self._result_bytes_max),
            *command.argv,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env={**os.environ, **words},
            start_new_session=True,
        )
        self._groups[slot] = transport.get_pid()
        try:
            # A program that does not read its input is right as long as it ends well.
            stdin = cast(asyncio.WriteTransport, transport.get_pipe_transport(0))
            stdin.write(work.payload)
            stdin.close()
            await program.wait_exit()
            await program.wait_silence(_LAST_WORDS_S)
            # What it left behind holds its pipes, and ends with it.
            self._signal(slot, signal.SIGKILL)
            await program.wait_silence(_LAST_WORDS_S)
        finally:
            self._signal(slot, signal.SIGKILL)
            transport.close()
        if program.too_much:
            return unusable_result(
                f"the program wrote more than {self._result_bytes_max} bytes to stdout"
            )
        code = transport.get_returncode()
        if code != 0:
            message = f"the program {command.argv[0]!r} {how_it_ended(code)}"
            tail = program.stderr.decode(errors="replace")
            return Failure(Blame.APPLICATION, "pullwork.CommandFailed", message, tail)
        return Success(bytes(program.stdout), command.content_type)


class Program(asyncio.SubprocessProtocol):
    """What a running program says: all of stdout up to a bound, and the tail of stderr.

    A protocol, because asyncio's `Process.wait` also waits for whoever else holds the pipes.
    """

    def __init__(self, stdout_bytes_max: int) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.too_much = False
        self._stdout_bytes_max = stdout_bytes_max
        self._transport: asyncio.SubprocessTransport | None = None
        self._exited = asyncio.Event()
        self._silent = asyncio.Event()

    async def wait_exit(self) -> None:
        """Waits for the end of the program."""
        await self._exited.wait()

    async def wait_silence(self, timeout_s: float) -> None:
        """Waits until its pipes are closed, but not longer than the timeout."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._silent.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keeps what is written."""
        if fd == 2:
            self.stderr += data
            del self.stderr[:-TAIL_BYTES_MAX]
        elif len(self.stdout) + len(data) <= self._stdout_bytes_max:
            self.stdout += data
        elif not self.too_much:
            self.too_much = True
            if self._transport is not None:
                self._transport.kill()

    def process_exited(self) -> None:
        """Notes the end of the program."""
        self._exited.set()

    def connection_lost(self, _: Exception | None) -> None:
        """Notes that the program has ended and its pipes are closed."""
        self._silent.set()


def _words(work: Work) -> dict[str, str]:
    return {
        "TASK_ID": work.task_id,
        "TASK_TYPE": work.type,
        "TASK_ATTEMPT": str(work.attempt),
        "TASK_QUEUE": work.queue,
        "TASK_OWNER": work.owner,
        "TASK_CONTENT_TYPE": work.content_type,
    }
