"""Runs a command's coroutine with a client of the master that its options and settings name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pullwork.client import Client

T = TypeVar("T")


def with_client(
    address: str | None,
    config: Path | None,
    use: Callable[[Client], Awaitable[T]],
    *,
    owner: str | None = None,
    traced: bool = False,
) -> T:
    """Opens a client, runs `use` with it, and returns what that returns.

    `traced` is for what submits: telemetry is started, if the environment asks for it.
    """
    from pullwork.client import Client
    from pullwork.settings import ClientSettings, load

    settings = load(ClientSettings, {"address": address}, config)

    async def run() -> T:
        deadline = settings.timeout
        async with Client(settings.address, owner=owner, deadline=deadline) as client:
            return await use(client)

    if not traced:
        return asyncio.run(run())
    from pullwork.telemetry import start

    with start("pullwork"):
        return asyncio.run(run())
