"""The short trials start real processes."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every trial here."""
    for item in items:
        if item.path == Path(__file__).with_name("test_trials.py"):
            item.add_marker("service")
