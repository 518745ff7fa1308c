"""The demo of services: it is right, says so, and leaves nothing behind however it ends."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from cli_world import MAIN, run, until
from node_world import programs
from rich.console import Console

from pullwork.demo.service_run import tell
from pullwork.demo.service_story import WrongError

pytestmark = pytest.mark.service


def demo(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, "demo", "--services"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"TMPDIR": str(folder)},
    )


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    """Fails if a process of this demo outlives it; those that it keeps running, too."""
    yield
    until(lambda: not programs(tmp_path), "every process of the demo is gone")


@pytest.mark.timeout(240)
def test_every_step_of_the_demo_is_right(tmp_path: Path) -> None:
    program = demo(tmp_path)
    out, _ = program.communicate(timeout=220)
    assert program.returncode == 0, out
    steps = [line for line in out.splitlines() if line.startswith("RIGHT ")]
    assert len(steps) == 10, out
    for seen in ("2-2-2", "3-3-3", "the same processes now", "it returned by itself"):
        assert seen in out
    assert out.splitlines()[-1].startswith("RIGHT, after")


def test_a_demo_that_is_broken_off_stops_all_that_it_kept_running(tmp_path: Path) -> None:
    program = demo(tmp_path)
    assert program.stdout is not None
    for line in program.stdout:
        if "are created" in line:
            break
    assert programs(tmp_path)
    program.send_signal(signal.SIGINT)
    out, _ = program.communicate(timeout=60)
    assert program.returncode == 130
    assert "Traceback" not in out


async def test_what_is_wrong_is_said_and_ends_the_demo() -> None:
    class Wrong:
        def steps(self) -> list[tuple[str, Callable[[], Awaitable[str]]]]:
            return [("one", self.right), ("two", self.wrong), ("three", self.right)]

        async def right(self) -> str:
            return "so it is"

        async def wrong(self) -> str:
            raise WrongError("it is not")

    out = io.StringIO()
    assert not await tell(Console(file=out), Wrong())
    lines = out.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["RIGHT", "WRONG", "what"]
    assert lines[1].endswith("two: it is not")


def test_options_of_the_other_demo_are_refused() -> None:
    for words in (["--kill-master"], ["--dir", "."], ["--forever"], ["--address", "a:1"]):
        result = run("demo", "--services", *words)
        assert (result.code, "--services goes with" in result.err) == (2, True)
