"""Functions that misbehave, for tests of the executors; children import this module."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from pullwork import context, task


@task(type="add")
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


@task(type="fail")
def fail(words: str) -> None:
    """Raises."""
    raise ValueError(words)


@task(type="leave")
def leave(code: int) -> None:
    """Ends its process."""
    print("goodbye", file=sys.stderr, flush=True)
    os._exit(code)


@task(type="sys_exit")
def sys_exit() -> None:
    """Asks for the end of its process."""
    sys.exit(7)


@task(type="segfault")
def segfault() -> None:
    """Reads where nothing is."""
    ctypes.string_at(0)


@task(type="eat")
def eat() -> int:
    """Takes memory without end."""
    eaten = []
    while True:
        eaten.append(bytearray(16 * 1024 * 1024))


@task(type="spin")
def spin(path: str) -> None:
    """Never returns; says by a file that it began."""
    Path(path).write_text("began")
    while True:
        pass


@task(type="until_cancelled")
def until_cancelled(path: str) -> str:
    """Works until it is to end."""
    Path(path).write_text("began")
    here = context.current()
    while not here.cancelled:
        time.sleep(0.005)
    return "stopped by itself"


@task(type="mark")
def mark(path: str) -> None:
    """Leaves a line for each time that it ran."""
    with Path(path).open("a") as file:
        file.write("ran\n")


@task(type="tell")
def tell() -> str:
    """Says something of itself, and returns what it knows of itself."""
    here = context.current()
    here.progress(0.5, "half way")
    here.save_checkpoint(here.checkpoint + b"+1")
    return f"{here.task_id} {here.attempt} {here.queue} {here.owner} {here.headers['word']}"


@task(type="wrong_result")
def wrong_result() -> int:
    """Returns what its annotation does not allow."""
    return "no number"  # type: ignore[return-value]


@task(type="big")
def big(size: int) -> bytes:
    """Returns many bytes."""
    return bytes(size)


@task(type="grandchild")
def grandchild() -> int:
    """Leaves a process behind that holds its pipes, and dies."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # whatever the test does, it is gone some day
        signal.pause()
    os._exit(5)


@task(type="async_add")
async def async_add(a: int, b: int) -> int:
    """Adds, later."""
    await asyncio.sleep(0)
    return a + b


@task(type="async_forever")
async def async_forever() -> None:
    """Waits for what never comes."""
    await asyncio.Event().wait()


@task(type="async_tell")
async def async_tell() -> bytes:
    """Says something of itself from the loop and from a thread of its own."""
    here = context.current()
    here.progress(0.25)
    await asyncio.to_thread(here.save_checkpoint, b"from a thread")
    return here.checkpoint


@task(type="thread_add", executor="thread")
def thread_add(a: int, b: int) -> int:
    """Adds in a thread."""
    return a + b


@task(type="thread_until_cancelled", executor="thread")
def thread_until_cancelled() -> str:
    """Works until it is to end."""
    here = context.current()
    while not here.cancelled:
        time.sleep(0.005)
    here.raise_if_cancelled()
    return "never"
