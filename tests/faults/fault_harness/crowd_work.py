"""The one type that the workers of a crowd know; it needs no process of its own."""

from __future__ import annotations

from pullwork import task


@task(type="faults.idle")
async def idle() -> str:
    """Does nothing."""
    return ""
