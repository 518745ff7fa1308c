"""What workers of the tests of traces can do: in a child process, in a thread, on the loop."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from pullwork import Client, blocking, task
from pullwork.context import current

log = logging.getLogger("trace_jobs")


@task(type="trace.leaf")
async def leaf(number: int) -> int:
    """Ends what others began."""
    return number


@task(type="trace.isolated")
def isolated(number: int) -> int:
    """Runs in a process of its own."""
    log.warning("isolated %s", number)
    return number


@task(type="trace.said")
async def said(number: int) -> int:
    """Says something while it runs."""
    log.warning("said %s", number)
    return number


@task(type="trace.spawn.process")
def spawn_in_process(number: int) -> int:
    """Submits another task and waits for it."""
    return _spawn(number)


@task(type="trace.spawn.thread", executor="thread")
def spawn_in_thread(number: int) -> int:
    """Submits another task and waits for it."""
    return _spawn(number)


@task(type="trace.spawn.loop")
async def spawn_on_loop(number: int) -> int:
    """Submits another task and waits for it."""
    async with Client(os.environ["PULLWORK_ADDRESS"]) as client:
        return await client.run(leaf.with_args(number))


def _spawn(number: int) -> int:
    with blocking.Client(os.environ["PULLWORK_ADDRESS"]) as client:
        return client.run(leaf.with_args(number))


@task(type="trace.flaky")
async def flaky() -> int:
    """Succeeds at the third attempt."""
    if current().attempt < 3:
        raise ValueError("not yet")
    return current().attempt


@task(type="trace.hold")
def hold(gate: str) -> int:
    """Says that it began, by a file, and goes on when another file is there."""
    path = Path(gate)
    path.with_name("began").write_text("")
    until_there(path)
    return current().attempt


def until_there(path: Path) -> None:
    """Waits for a file."""
    import time

    while not path.exists():
        time.sleep(0.01)
