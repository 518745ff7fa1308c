"""What the workers of the harness can do. Every function writes down that it ran."""

from __future__ import annotations

import os
import re
import signal
import threading
from functools import cache
from pathlib import Path

from fault_harness.executions import FOLDER, ExecutionLog
from pullwork import current, task


@cache
def _log() -> ExecutionLog:
    return ExecutionLog(Path(os.environ[FOLDER]))


def _took(pause_s: float) -> str:
    here = current()
    serial = _log().start(here.task_id, here.attempt)
    if pause_s:
        threading.Event().wait(pause_s)
    return _log().end(serial, here.attempt)


@task(type="faults.mark")
def mark(pause_s: float) -> str:
    """Takes a while in a process of its own."""
    return _took(pause_s)


@task(type="faults.quick")
async def quick() -> str:
    """Takes no time, in the worker's own process."""
    return _took(0)


@task(type="faults.gate")
def gate(path: str) -> str:
    """Goes on when a file is there; `PATH.began` says that it began."""
    here = current()
    serial = _log().start(here.task_id, here.attempt)
    Path(f"{path}.began").touch()
    while not Path(path).exists():
        threading.Event().wait(0.02)
    return _log().end(serial, here.attempt)


@task(type="faults.block_loop", executor="coroutine")
async def block_loop(seconds: float) -> str:
    """Holds the worker's event loop, as a forgotten blocking call does."""
    return _took(seconds)


@task(type="faults.hold_gil", executor="thread")
def hold_gil(letters: int) -> str:
    """Holds the interpreter's lock in one long call of C code; a letter more doubles the time."""
    here = current()
    serial = _log().start(here.task_id, here.attempt)
    re.match(r"(a+)+b", "a" * letters)
    return _log().end(serial, here.attempt)


@task(type="faults.stuck", progress_timeout=1.0)
def stuck() -> str:
    """Never ends and says nothing; its worker is well all the time."""
    return _took(3600)


@task(type="faults.kill_worker")
def kill_worker() -> str:
    """Takes the worker with it."""
    here = current()
    _log().start(here.task_id, here.attempt)
    os.kill(os.getppid(), signal.SIGKILL)
    return _took(3600)


@task(type="faults.kill_executor")
def kill_executor() -> str:
    """Takes the process that runs it with it, not the worker."""
    here = current()
    _log().start(here.task_id, here.attempt)
    os.kill(os.getpid(), signal.SIGKILL)
    return ""
