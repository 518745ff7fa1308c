"""What holds for every test: where a skip is a failure, and whose settings are not read."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

# A shell that runs the tests in the background has them ignore Ctrl-C, and all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """In CI turns a skip into a failure: everything a test needs can be installed there."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be missing: {reason}"
    return report


@pytest.fixture(autouse=True)
def _settings_of_the_shell_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes away the PULLWORK_ variables of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("PULLWORK_")]:
        monkeypatch.delenv(name)
