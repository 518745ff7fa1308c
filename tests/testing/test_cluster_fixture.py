"""The fixture for pytest, tried as its users have it: in a folder of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = 'pytest_plugins = ["pullwork.testing.fixtures"]\n'
TESTS = """
import pytest
from pullwork import task
from pullwork.testing import Cluster

@task
async def double(number: int) -> int:
    return 2 * number

@pytest.fixture
def pullwork_cluster_options():
    return {"tasks": [double], "slots": 3}

MARK
async def test_options_come_from_the_fixture(pullwork_cluster: Cluster) -> None:
    handle = await pullwork_cluster.client.submit(double.with_args(21), delay=60)
    await pullwork_cluster.advance(61)
    assert await handle.result(20) == 42
    (worker,) = await pullwork_cluster.client.workers()
    assert worker.slots == 3

MARK
@pytest.mark.pullwork_cluster(workers=2, storage="memory")
async def test_the_nearest_marker_has_the_last_word(pullwork_cluster: Cluster) -> None:
    assert len(pullwork_cluster.workers) == 2
    assert {it.slots for it in await pullwork_cluster.client.workers()} == {3}
"""


def run_pytest(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Runs pytest as somebody would who has nothing of this repository's settings."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *flags],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=os.environ | {"PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
    )


@pytest.mark.parametrize(("mode", "mark"), [("auto", ""), ("strict", "@pytest.mark.asyncio")])
def test_the_fixture_works_in_either_mode_of_pytest_asyncio(
    tmp_path: Path, mode: str, mark: str
) -> None:
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\nasyncio_mode = {mode}\nasyncio_default_fixture_loop_scope = function\n"
    )
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS.replace("MARK", mark))
    done = run_pytest(tmp_path, "--strict-markers")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
