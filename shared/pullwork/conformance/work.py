"""The task that the kit gives to the worker under test, for workers in Python.

Python's own worker is tried by
`pullwork conformance -- pullwork worker --tasks pullwork.conformance.work`.
"""

from __future__ import annotations

import asyncio

from pullwork.tasks import task


@task(type="conformance.work")
async def work(seconds: float = 0.0, size: int = 0) -> str:
    """Waits, and returns a text of so many characters."""
    await asyncio.sleep(seconds)
    return "x" * size
