"""Functions that clusters under test run; their child processes import this module."""

from __future__ import annotations

import asyncio
import os
import threading
import time

from pullwork import Retry, current, task


@task(type="job.add")
async def add(a: int, b: int) -> int:
    return a + b


@task(type="job.where")
def where() -> tuple[int, str]:
    return os.getpid(), threading.current_thread().name


@task(type="job.hold_first")
async def hold_first() -> int:
    if current().attempt == 1:
        await asyncio.Event().wait()
    return current().attempt


@task(type="job.hold")
async def hold() -> None:
    await asyncio.Event().wait()


@task(type="job.block_first")
async def block_first(seconds: float) -> int:
    if current().attempt == 1:
        threading.Event().wait(seconds)  # blocks its worker's loop
    return current().attempt


@task(type="job.wait_for_time")
async def wait_for_time(seconds: float) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.sleep(seconds)
    return loop.time() - began


@task(type="job.fail_until", retry=Retry(max_attempts=5, initial_backoff=600, max_backoff=600))
async def fail_until(attempt: int) -> int:
    if current().attempt < attempt:
        raise ValueError("not yet")
    return current().attempt


@task(type="job.resume")
async def resume() -> str:
    if not current().checkpoint:
        current().save_checkpoint(b"half")
        current().progress(0.5, "half done")
        await asyncio.Event().wait()
    return f"from {current().checkpoint.decode()}"


@task(type="job.hold_process")
def hold_process() -> None:
    threading.Event().wait()


@task(type="job.wait_for_file", executor="thread")
def wait_for_file(path: str) -> int:
    while not os.path.exists(path):
        time.sleep(0.005)
    return current().attempt


COROUTINES = [add, hold_first, hold, block_first, wait_for_time, fail_until, resume]
