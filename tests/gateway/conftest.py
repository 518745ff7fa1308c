"""A master behind real ports for each test: gRPC, and HTTP beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from http_door import HttpDoor, client_of, opened
from wired_master import WiredMaster, serving

from pullwork_master.storage.memory import MemoryStorage


@pytest.fixture
async def master() -> AsyncIterator[WiredMaster]:
    """A master that keeps its tasks in memory."""
    async with serving(MemoryStorage()) as started:
        yield started


@pytest.fixture
async def door(master: WiredMaster) -> AsyncIterator[HttpDoor]:
    """Its door over HTTP."""
    async with opened(master) as door:
        yield door


@pytest.fixture
async def http(door: HttpDoor) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the door."""
    async with client_of(door) as client:
        yield client
