"""What the workers of these tests can do: little, slow on demand, and deadly on demand."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from pathlib import Path

from pullwork import task

MEBIBYTE = 1024 * 1024


@task(type="jobs.square")
def square(number: int) -> int:
    """Does the least that has a right answer."""
    return number * number


@task(type="jobs.note")
def note(number: int, folder: str) -> int:
    """Leaves a line for each time that it ran, and takes a moment."""
    with Path(folder, str(number)).open("a") as lines:
        lines.write(f"{os.getpid()}\n")
    threading.Event().wait(0.02)
    return number * number


@task(type="jobs.hold")
def hold(gate: str) -> str:
    """Says that it began, by a file `GATE.began`, and goes on when the file GATE is there."""
    began(Path(gate)).write_text(str(os.getpid()))
    _until_exists(Path(gate))
    return "let go"


@task(type="jobs.echo")
async def echo(text: str) -> str:
    """Runs beside others, in the worker's own process."""
    return text


@task(type="jobs.fail")
def fail(message: str) -> None:
    """Fails as functions do."""
    raise ValueError(message)


@task(type="jobs.exit")
def leave() -> None:
    """Takes its process with it, without a word."""
    os._exit(1)


@task(type="jobs.segfault")
def segfault() -> None:
    """Reads what is nobody's."""
    ctypes.string_at(0)


@task(type="jobs.hog")
def hog() -> int:
    """Takes memory without end; the worker must set a limit."""
    taken = []
    while True:
        taken.append(bytearray(64 * MEBIBYTE))


@task(type="jobs.endless", timeout=1.0)
def endless() -> None:
    """Never returns, and never lets anybody else run."""
    while True:
        pass


def began(gate: Path) -> Path:
    """Returns the file that says that a task holds at a gate."""
    return gate.with_name(f"{gate.name}.began")


def _until_exists(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)
