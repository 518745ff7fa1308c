"""A real master, and a real worker of sample_tasks, shared by the tests of a file."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from task_cluster import TaskCluster

from pullwork import Client


@pytest.fixture
def new_cluster(tmp_path: Path) -> Iterator[TaskCluster]:
    """Processes of one test, to be hurt by it; what they said is shown if it failed."""
    started = TaskCluster(tmp_path)
    yield started
    started.close()
    print(started.story())


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a master without workers."""
    cluster = TaskCluster(tmp_path_factory.mktemp("alone"))
    asyncio.run(cluster.master())
    yield cluster.address
    cluster.close()


@pytest.fixture(scope="session")
def staffed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a master with a worker."""
    cluster = TaskCluster(tmp_path_factory.mktemp("staffed"))
    asyncio.run(cluster.master())
    cluster.task_worker()
    yield cluster.address
    cluster.close()


@pytest.fixture
async def quiet(alone: str) -> AsyncIterator[Client]:
    """A client of the master without workers: what it submits waits."""
    async with Client(alone, deadline=10) as client:
        yield client


@pytest.fixture
async def client(staffed: str) -> AsyncIterator[Client]:
    """A client of the master with a worker."""
    async with Client(staffed, deadline=10) as client:
        yield client


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    """The name of a queue of this test's own."""
    return f"of-{request.node.name[:100].translate({ord('['): '-', ord(']'): '-'})}"


@pytest.fixture
def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port
