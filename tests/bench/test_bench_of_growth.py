"""The benchmarks of large fleets and backlogs work: quick forms lose no worker and no task."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.service
@pytest.mark.parametrize("name", ["fleet", "backlog"])
def test_the_quick_form_of_a_benchmark_finds_all_its_workers_and_tasks(
    name: str, tmp_path: Path
) -> None:
    out = tmp_path / "table.md"
    path = os.pathsep.join(filter(None, (str(BENCHMARKS), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{name}", "--quick", "--out", str(out)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| ---" in out.read_text()
