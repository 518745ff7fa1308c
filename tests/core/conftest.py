"""Each law of the core is tried in a world of its own."""

from __future__ import annotations

import pytest
from world import World


@pytest.fixture
def world() -> World:
    """A master that was just started, without workers and tasks."""
    return World()
