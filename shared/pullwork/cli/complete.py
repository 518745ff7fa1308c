"""Completion of names that only a master knows; silent where none answers quickly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from pullwork.client import Client
    from pullwork.queue_info import QueueInfo

T = TypeVar("T")

PATIENCE_S: Final = 0.5


def complete_queue(incomplete: str) -> list[str]:
    """Returns the queues that begin with what was typed."""
    return [queue.name for queue in _queues() if queue.name.startswith(incomplete)]


def complete_type(incomplete: str) -> list[str]:
    """Returns the types of tasks in queues that begin with what was typed."""
    types = {line.type for queue in _queues() for line in queue.lines}
    return sorted(name for name in types if name.startswith(incomplete))


def complete_service(incomplete: str) -> list[str]:
    """Returns the services that begin with what was typed."""
    return [name for name in _ask(_service_names) or [] if name.startswith(incomplete)]


def complete_instance(incomplete: str) -> list[str]:
    """Returns the instances that begin with what was typed."""
    return [name for name in _ask(_instance_ids) or [] if name.startswith(incomplete)]


def complete_worker(incomplete: str) -> list[str]:
    """Returns the names of workers that begin with what was typed."""
    names = {worker.name for worker in _ask(lambda client: client.workers()) or []}
    return sorted(name for name in names if name.startswith(incomplete))


def _queues() -> list[QueueInfo]:
    return _ask(lambda client: client.queues.list()) or []


async def _service_names(client: Client) -> list[str]:
    return [service.name for service in await client.services.list()]


async def _instance_ids(client: Client) -> list[str]:
    return [it.id for it in await client.services.instances() if it.id]


def _ask(question: Callable[[Client], Awaitable[T]]) -> T | None:
    async def ask() -> T:
        from pullwork.client import Client
        from pullwork.settings import ClientSettings, load

        async with asyncio.timeout(PATIENCE_S), Client(load(ClientSettings).address) as client:
            return await question(client)

    try:
        return asyncio.run(ask())
    except Exception:  # a shell that completes must not be told of errors
        return None
