"""A stub master, and nodes of it as real processes, for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
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
