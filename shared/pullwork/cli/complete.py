"""Completion of names that only a master knows; silent where none answers quickly."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pullwork.queue_info import QueueInfo

PATIENCE_S: Final = 0.5


def complete_queue(incomplete: str) -> list[str]:
    """Returns the queues that begin with what was typed."""
    return [queue.name for queue in _queues() if queue.name.startswith(incomplete)]


def complete_type(incomplete: str) -> list[str]:
    """Returns the types of tasks in queues that begin with what was typed."""
    types = {line.type for queue in _queues() for line in queue.lines}
    return sorted(name for name in types if name.startswith(incomplete))


def _queues() -> list[QueueInfo]:
    try:
        return asyncio.run(_ask())
    except Exception:  # a shell that completes must not be told of errors
        return []


async def _ask() -> list[QueueInfo]:
    from pullwork.client import Client
    from pullwork.settings import ClientSettings, load

    async with asyncio.timeout(PATIENCE_S), Client(load(ClientSettings).address) as client:
        return await client.queues.list()
