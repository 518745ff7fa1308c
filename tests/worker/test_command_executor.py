"""Programs as tasks: real ones, that end in every way."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from recording import RecordingSink, ticket

from pullwork_worker.executors.command import Command, CommandExecutor
from pullwork_worker.machine import Blame, Success


def python(script: str) -> Command:
    return Command((sys.executable, "-c", script))


BEGIN_AND_SLEEP = "import os, sys, time; open(sys.stdin.read(), 'w').close(); time.sleep(60)"
COMMANDS = {
    "cat": Command(("cat",), "text/plain"),
    "fail": python("import sys; print('oh no', file=sys.stderr); sys.exit(3)"),
    "missing": Command(("/no/such/program",)),
    "know": python("import os; print(os.environ['TASK_ID'], os.environ['TASK_ATTEMPT'], end='')"),
    "flood": python("print('x' * 3_000_000)"),
    "deaf": python("print('done', end='')"),
    "sleep": python(BEGIN_AND_SLEEP),
    "stubborn": python(
        "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + BEGIN_AND_SLEEP
    ),
    "leave": Command(("sh", "-c", "sleep 60 & echo done")),
}


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


@pytest.fixture
async def commands(sink: RecordingSink) -> AsyncIterator[CommandExecutor]:
    executor = CommandExecutor(COMMANDS, sink, 1024 * 1024)
    yield executor
    await executor.close()


async def until_file(path: Path) -> None:
    """Waits for something outside of this process; nothing tells when it happens."""
    async with asyncio.timeout(20):
        while not path.exists():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.005)


async def test_the_payload_is_its_input_and_its_output_the_result(
    sink: RecordingSink, commands: CommandExecutor
) -> None:
    data = bytes(range(256)) * 4000
    commands.start(0, [ticket("cat", data=data)])
    assert await sink.outcome("lease of cat") == Success(data, "text/plain")


async def test_an_exit_code_is_a_failure_with_the_tail_of_stderr(
    sink: RecordingSink, commands: CommandExecutor
) -> None:
    commands.start(0, [ticket("fail")])
    failure = await sink.failure("lease of fail")
    assert failure.blame is Blame.APPLICATION
    assert "exit code 3" in failure.message
    assert failure.details == "oh no\n"
    assert failure.retryable


async def test_a_program_that_is_not_there_is_named(
    sink: RecordingSink, commands: CommandExecutor
) -> None:
    commands.start(0, [ticket("missing")])
    failure = await sink.failure("lease of missing")
    assert "/no/such/program" in failure.message


async def test_a_program_knows_its_task(sink: RecordingSink, commands: CommandExecutor) -> None:
    commands.start(0, [ticket("know")])
    outcome = await sink.outcome("lease of know")
    assert outcome == Success(b"task-1 2", "application/octet-stream")


async def test_too_much_output_is_a_failure_and_not_kept(
    sink: RecordingSink, commands: CommandExecutor
) -> None:
    commands.start(0, [ticket("flood")])
    failure = await sink.failure("lease of flood")
    assert "more than 1048576 bytes" in failure.message
    assert not failure.retryable


async def test_a_program_need_not_read_its_input(
    sink: RecordingSink, commands: CommandExecutor
) -> None:
    commands.start(0, [ticket("deaf", data=bytes(1_000_000))])
    outcome = await sink.outcome("lease of deaf")
    assert isinstance(outcome, Success)
    assert outcome.data == b"done"


async def test_a_program_that_is_stopped_gets_sigterm(
    sink: RecordingSink, commands: CommandExecutor, tmp_path: Path
) -> None:
    path = tmp_path / "began"
    sleeping = ticket("sleep", data=str(path).encode())
    commands.start(0, [sleeping])
    await until_file(path)
    commands.stop(0, sleeping)
    assert "SIGTERM" in (await sink.failure(sleeping.token)).message


async def test_a_program_that_ignores_sigterm_is_killed(
    sink: RecordingSink, commands: CommandExecutor, tmp_path: Path
) -> None:
    path = tmp_path / "began"
    stubborn = ticket("stubborn", data=str(path).encode())
    commands.start(0, [stubborn])
    await until_file(path)
    commands.stop(0, stubborn)
    commands.kill(0, stubborn)
    assert "SIGKILL" in (await sink.failure(stubborn.token)).message


async def test_what_a_program_leaves_behind_does_not_keep_its_slot(
    sink: RecordingSink, commands: CommandExecutor
) -> None:
    commands.start(0, [ticket("leave")])
    async with asyncio.timeout(10):
        await sink.outcome("lease of leave")
