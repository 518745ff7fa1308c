"""The pytest fixture `pullwork_cluster`: a cluster for one test.

Say `pytest_plugins = ["pullwork.testing.fixtures"]` in the topmost conftest.py. What the cluster
is like stands in the marker `pullwork_cluster`, or in a fixture `pullwork_cluster_options` of
one's own; both take what `Cluster` takes. It needs pytest-asyncio, in either mode.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio

from pullwork.testing.cluster import Cluster

MARKER: Final = "pullwork_cluster"


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line(
        "markers", f"{MARKER}(tasks=[…], workers=1, slots=2, …): what the fixture's cluster is like"
    )


@pytest.fixture
def pullwork_cluster_options() -> dict[str, Any]:
    """What the clusters of a module or folder have in common; to be overridden there."""
    return {}


@pytest_asyncio.fixture
async def pullwork_cluster(
    request: pytest.FixtureRequest, pullwork_cluster_options: dict[str, Any]
) -> AsyncIterator[Cluster]:
    """A running cluster; its `client` is ready to submit."""
    options = dict(pullwork_cluster_options)
    # The nearest marker comes first, and has the last word.
    for marker in reversed(list(request.node.iter_markers(MARKER))):
        options |= marker.kwargs
    async with Cluster(**options) as cluster:
        yield cluster
