"""A master's door with a catalogue behind it, which the test fills; and one with nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from http_door import HttpDoor, client_of, opened
from listed_instances import ListedInstances
from orchestrated import Bench
from placed_instances import benched
from wired_master import serving

from pullwork_master.storage.memory import MemoryStorage


@pytest.fixture
async def listed() -> ListedInstances:
    """What there is."""
    return ListedInstances()


@pytest.fixture
async def door(listed: ListedInstances) -> AsyncIterator[HttpDoor]:
    """The door of a master that knows of it."""
    async with serving(MemoryStorage()) as master, opened(master, catalogue=listed) as door:
        yield door


@pytest.fixture
async def http(door: HttpDoor) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the door."""
    async with client_of(door) as client:
        yield client


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A master that knows of a service `web` and a node."""
    async with benched() as bench:
        yield bench
