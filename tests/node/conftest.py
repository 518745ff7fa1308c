"""A stub master, and nodes of it as real processes, for each test."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from containers_of_tests import BASE, REMEDY, Containers, missing
from engine_proxy import EngineProxy
from node_workers import Workers
from stub_master import StubMaster, serving


@pytest.fixture
async def master() -> AsyncIterator[StubMaster]:
    """A master that a test has in its hands."""
    async with serving() as made:
        yield made


@pytest.fixture
def workers(master: StubMaster, tmp_path: Path) -> Iterator[Workers]:
    """Workers of that master; what they left running is ended with the test."""
    made = Workers(master.address, tmp_path)
    try:
        yield made
    finally:
        print(made.story())
        made.close()


@pytest.fixture
def containers(master: StubMaster, workers: Workers) -> Iterator[Containers]:
    """The containers of a test, which are gone after it. Skipped where no engine is."""
    if reason := missing():
        pytest.skip(f"no Docker Engine with the image {BASE} ({reason}); remedy: {REMEDY}")
    made = Containers()
    master.cluster_id = made.cluster
    try:
        yield made
    finally:
        workers.close()  # or they would go on making some
        made.close()


@pytest.fixture
async def engine_proxy() -> AsyncIterator[EngineProxy]:
    """A way to the engine that a test can cut."""
    # A socket's path may have but a hundred characters.
    with tempfile.TemporaryDirectory(prefix="pullwork-") as folder:
        made = EngineProxy(Path(folder))
        await made.mend()
        yield made
        await made.cut()
