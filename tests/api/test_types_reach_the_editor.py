"""mypy must know the types of arguments and results, and must refuse what doesn't fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_arguments_and_results_are_typed_end_to_end() -> None:
    # Unused ignores are errors, so every refusal that typed_use.py expects must happen.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(HERE / "typed_use.py")],
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
