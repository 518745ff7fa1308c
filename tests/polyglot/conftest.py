"""A cluster with workers in several languages for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mixed_cluster import MixedCluster
from toolchain import LANGUAGES, Language, built


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test here: they start real processes. The first one builds, which takes time."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker("service")
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[MixedCluster]:
    """Processes that end with the test; what they said is shown if it failed."""
    started = MixedCluster(tmp_path)
    yield started
    started.close()
    print(started.story())


@pytest.fixture(params=LANGUAGES, ids=lambda language: language.name)
def language(request: pytest.FixtureRequest) -> Language:
    """Each language in turn, with its programs built."""
    return built(request.param)
