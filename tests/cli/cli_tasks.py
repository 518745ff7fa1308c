"""What the worker of these tests can do."""

from __future__ import annotations

import asyncio

from pullwork import task
from pullwork.context import current


@task(type="cli.add")
async def add(a: int, b: int = 1) -> int:
    """Adds two numbers."""
    return a + b


@task(type="cli.fail")
async def fail(reason: str) -> None:
    """Fails for a reason."""
    raise ValueError(reason)


@task(type="cli.reverse")
async def reverse(data: bytes) -> bytes:
    """Turns bytes round."""
    return data[::-1]


@task(type="cli.hang")
async def hang() -> None:
    """Runs until it is cancelled."""
    current().progress(0.5, "half [way]")
    await asyncio.Event().wait()
