"""Every example's own tests pass, run as its readers run them, and its types are right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_cluster_fixture import run_pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(conftest.parent for conftest in (ROOT / "examples").glob("*/conftest.py"))


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda it: it.name)
def test_the_example_passes_its_tests(folder: Path) -> None:
    own = ("-c", os.devnull, "--rootdir", str(folder), "--strict-markers")
    done = run_pytest(
        folder, *own, "-o", "asyncio_default_fixture_loop_scope=function", str(folder)
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda it: it.name)
def test_the_examples_types_are_right(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, "."],
        cwd=folder,
        env=os.environ | {"MYPYPATH": str(ROOT / "shared")},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
