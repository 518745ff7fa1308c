"""Runs programs: the payload on stdin, the result on stdout.

An exit code other than 0 is a failure of the task, with the tail of stderr as its details. What
the task is stands in the program's environment: TASK_ID, TASK_TYPE, TASK_ATTEMPT, TASK_QUEUE,
TASK_OWNER and TASK_CONTENT_TYPE.
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
from pullwork_worker.executors.work import Sink, Work
from pullwork_worker.machine.ticket import Blame, Failure, Outcome, Success, Ticket

# How long pipes may stay open after the program ended; one that it left behind may hold them.
_LAST_WORDS_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Command:
    """A program for a type."""

    argv: tuple[str, ...]
    content_type: str = "application/octet-stream"


class CommandExecutor:
    """Runs a program for each attempt, in a process group of its own."""

    def __init__(self, commands: Mapping[str, Command], sink: Sink, result_bytes_max: int) -> None:
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
            outcome = await self._attempt(slot, work, command)
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
        process = await asyncio.create_subprocess_exec(
            *command.argv,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env={**os.environ, **_words(work)},
            start_new_session=True,
        )
        self._groups[slot] = process.pid
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        feeding = asyncio.create_task(_feed(process.stdin, work.payload))
        result = asyncio.create_task(self._read_result(slot, process.stdout))
        errors = asyncio.create_task(_read_tail(process.stderr))
        readers = (feeding, result, errors)
        try:
            code = await process.wait()
            await asyncio.wait(readers, timeout=_LAST_WORDS_S)
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
        tail = errors.result() if not errors.cancelled() else ""
        data = result.result() if not result.cancelled() else b""
        if data is None:
            return unusable_result(
                f"the program wrote more than {self._result_bytes_max} bytes to stdout"
            )
        if code != 0:
            message = f"the program {command.argv[0]!r} {how_it_ended(code)}"
            return Failure(Blame.APPLICATION, "pullwork.CommandFailed", message, tail)
        return Success(data, command.content_type)

    async def _read_result(self, slot: int, stdout: asyncio.StreamReader) -> bytes | None:
        """Returns what the program wrote; kills it and returns None if that is too much."""
        parts = bytearray()
        while data := await stdout.read(64 * 1024):
            parts += data
            if len(parts) > self._result_bytes_max:
                self._signal(slot, signal.SIGKILL)
                return None
        return bytes(parts)


async def _feed(stdin: asyncio.StreamWriter, payload: bytes) -> None:
    # A program that does not read its input is right as long as it ends well.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(payload)
        await stdin.drain()
        stdin.close()
        await stdin.wait_closed()


async def _read_tail(stderr: asyncio.StreamReader) -> str:
    tail = bytearray()
    while data := await stderr.read(64 * 1024):
        tail += data
        del tail[:-TAIL_BYTES_MAX]
    return tail.decode(errors="replace")


def _words(work: Work) -> dict[str, str]:
    return {
        "TASK_ID": work.task_id,
        "TASK_TYPE": work.type,
        "TASK_ATTEMPT": str(work.attempt),
        "TASK_QUEUE": work.queue,
        "TASK_OWNER": work.owner,
        "TASK_CONTENT_TYPE": work.content_type,
    }
