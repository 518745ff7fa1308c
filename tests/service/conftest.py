"""A cluster of real processes for each test, and a client of it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cluster import Cluster

from pullwork import Client


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test here: they start real processes."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker("service")


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Processes that end with the test; what they said is shown if it failed."""
    started = Cluster(tmp_path)
    yield started
    started.close()
    print(started.story())


@pytest.fixture
def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    """A client of the cluster's master, which it starts."""
    await cluster.master()
    async with Client(cluster.address) as client:
        yield client


@pytest.fixture
async def impatient(cluster: Cluster) -> AsyncIterator[Client]:
    """A client of a master that notices silence quickly."""
    await cluster.master(impatient=True)
    async with Client(cluster.address) as client:
        yield client
