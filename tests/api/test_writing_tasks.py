"""Every program on the page for application developers runs, and prints what the page says."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from task_cluster import TaskCluster

PAGE = Path(__file__).parents[2] / "docs" / "writing-tasks.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"# (\w+\.py)\n")
TASKS = "text_tasks.py"


def programs() -> dict[str, tuple[str, str]]:
    """Returns the page's files by name: what stands in each, and what it prints."""
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    found = {}
    for number, (language, text) in enumerate(blocks):
        if language != "python":
            continue
        name = NAME.match(text)
        assert name, f"a block without a file's name: {text[:60]!r}"
        after = blocks[number + 1] if number + 1 < len(blocks) else ("", "")
        found[name[1]] = (text, after[1] if after[0] == "text" else "")
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder with the page's files, and the address of a master whose worker runs its tasks."""
    folder = tmp_path_factory.mktemp("page")
    for name, (text, _) in programs().items():
        (folder / name).write_text(text, encoding="utf-8")
    cluster = TaskCluster(folder)
    asyncio.run(cluster.master())
    cluster.task_worker("reader", module=TASKS.removesuffix(".py"), path=folder)
    yield folder, cluster.address
    cluster.close()
    print(cluster.story())


@pytest.mark.parametrize("name", [name for name in programs() if name != TASKS])
def test_the_program_prints_what_the_page_says(page: tuple[Path, str], name: str) -> None:
    folder, address = page
    done = subprocess.run(
        [sys.executable, name],
        cwd=folder,
        env=os.environ | {"PULLWORK_ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == programs()[name][1]


def test_the_types_of_the_page_are_right(page: tuple[Path, str]) -> None:
    folder, _ = page
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *programs()],
        cwd=folder,
        env=os.environ | {"MYPYPATH": str(Path(__file__).parents[2] / "shared")},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
