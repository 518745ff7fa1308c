"""Each law of services is tried on both storages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from orchestrated import Bench, make_storages


@pytest.fixture(params=["memory", "sqlite"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """A master that was just started, without services and nodes."""
    made = Bench(make_storages(tmp_path, request.param))
    await made.start()
    yield made
    await made.kill()
