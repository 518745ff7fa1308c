"""A skip is a failure where CI says that nothing may be missing, and a skip elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SKIPPING = """
import pytest

def test_that_needs_an_engine():
    pytest.skip("no engine; remedy: get one")
"""


@pytest.mark.parametrize(
    ("ci", "code", "told"),
    [("", 0, "1 skipped"), ("true", 1, "1 failed")],
    ids=["elsewhere", "in CI"],
)
def test_a_skip_is_a_failure_in_ci_only(tmp_path: Path, ci: str, code: int, told: str) -> None:
    test = tmp_path / "test_engine.py"
    test.write_text(SKIPPING)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "conftest", "--rootdir", tmp_path, test],
        env=os.environ | {"CI": ci, "PYTHONPATH": str(TESTS), "PYTEST_ADDOPTS": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == code, run.stdout
    assert told in run.stdout
    assert "remedy: get one" in run.stdout or not ci
