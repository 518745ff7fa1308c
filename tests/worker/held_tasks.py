"""Functions for tests that play a worker against a real master."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

from pullwork import Retry, context, task


def leave_word(gate: str, word: str) -> None:
    """Makes a file that tells the test how far a task is."""
    Path(f"{gate}.{word}").touch()


@task(type="held.add")
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


@task(type="held.in_two_steps", retry=Retry(max_attempts=2, initial_backoff=0))
def in_two_steps() -> str:
    """Fails at its first attempt, right after it saved where it was."""
    here = context.current()
    if not here.checkpoint:
        here.save_checkpoint(b"step one")
        raise RuntimeError("half way")
    return f"went on after {here.checkpoint.decode()} in attempt {here.attempt}"


@task(type="held.hold")
def hold(gate: str) -> str:
    """Says that it began and how far it is; goes on when the gate is there or it is cancelled."""
    here = context.current()
    here.progress(0.5, "waiting at the gate")
    leave_word(gate, "began")
    wait_at(gate, here)
    return "let go"


def wait_at(gate: str, here: context.TaskContext) -> None:
    """Looks for the gate; a minute is more than any test takes."""
    deadline = time.monotonic() + 60
    while not Path(gate).exists() and time.monotonic() < deadline:
        here.raise_if_cancelled()
        time.sleep(0.005)


@task(type="held.forever")
async def forever(gate: str) -> None:
    """Says that it began, and leaves another word when it is cancelled."""
    leave_word(gate, "began")
    try:
        await asyncio.Event().wait()
    finally:
        leave_word(gate, "cancelled")


@task(type="held.deaf_thread", executor="thread", timeout=0.2)
def deaf_thread() -> None:
    """Never ends, whatever it is told."""
    threading.Event().wait()


@task(type="held.big")
def big(size: int) -> bytes:
    """Returns many bytes."""
    return bytes(size)
