"""The programs on the page about testing pass as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

from test_cluster_fixture import run_pytest

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
BLOCK = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_pages_tests_pass(tmp_path: Path) -> None:
    programs = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    assert set(programs) == {"mail_tasks.py", "conftest.py", "test_mail.py"}
    for name, text in programs.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    done = run_pytest(tmp_path, "-o", "asyncio_default_fixture_loop_scope=function")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
