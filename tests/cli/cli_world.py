"""Ways to run the command line and its neighbours, and to wait for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from pullwork.cli.main import make_app

DEADLINE_S = 20.0
# The program, for `python -c`.
MAIN = "from pullwork.cli.main import main; main()"


def until(condition: Callable[[], Any], what: str) -> Any:
    """Returns what a condition says once it is true; fails at a deadline."""
    ends = time.monotonic() + DEADLINE_S
    while True:
        if value := condition():
            return value
        assert time.monotonic() < ends, f"not within {DEADLINE_S:g} s: {what}"
        time.sleep(0.02)


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document that it printed."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The documents that it printed, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


@contextmanager
def process(*arguments: str, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a Python module as a process of its own, and stops it."""
    here = {key: value for key, value in os.environ.items() if not key.startswith("PULLWORK_")}
    started = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env={**here, "PYTHONPATH": str(Path(__file__).parent), **environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(DEADLINE_S)
        finally:
            started.kill()
            started.wait()


def run(*arguments: str, stdin: bytes | str | None = None) -> Result:
    """Runs the command line in this process."""
    result = CliRunner().invoke(make_app(), list(arguments), input=stdin, prog_name="pullwork")
    return Result(result.exit_code, result.stdout, result.stderr)
