"""Each law of storage is tried on each engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from storage_bench import Bench
from storage_engines import memory, sqlite


@pytest.fixture(params=[memory, sqlite], ids=lambda engine: engine.__name__)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Each engine, open and empty."""
    made = Bench(request.param(tmp_path))
    yield made
    made.close()
