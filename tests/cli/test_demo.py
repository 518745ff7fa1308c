"""The demo on a small folder: the story happens, the totals are right, nothing is left running."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_world import MAIN, run, until
from node_world import programs

from pullwork.demo.cluster import Cluster, DemoError
from pullwork.demo.tasks import count_words
from pullwork.demo.words import count_file, differences, find_files, standard_library

pytestmark = pytest.mark.service

COPIES = 24
MODULES = ("argparse.py", "typing.py", "inspect.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough real files that a worker can die and two can join before they are counted."""
    made = tmp_path_factory.mktemp("files")
    for number in range(COPIES):
        for module in MODULES:
            shutil.copy(standard_library() / module, made / f"{number}_{module}")
    (made / "broken.py").write_text("def broken(:\n  'nothing\n")
    (made / "latin.py").write_bytes(b"name = '\xe9t\xe9'  # not UTF-8\n")
    return made


def demo(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, "demo", "--dir", str(folder), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails if a process of this demo outlives it; its children too, which stand alone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    yield
    until(lambda: not programs(tmp_path), "every process of the demo is gone")


def test_the_demo_loses_a_worker_gains_two_and_counts_right(folder: Path) -> None:
    program = demo(folder)
    out, _ = program.communicate(timeout=100)
    assert program.returncode == 0, out
    assert re.search(r"KILLED worker first-\d, pid \d+, with SIGKILL; it held \d+ tasks", out)
    assert re.search(r"the master noticed after \d+ ms", out)
    assert "2 workers joined" in out
    assert "RIGHT: " in out
    assert "(killed)" in out
    assert "Tasks that took more than one attempt:" in out
    assert len(re.findall(r"^  \w+ +\d+$", out, re.MULTILINE)) == 20


def test_the_demo_counts_right_though_its_master_is_killed(folder: Path) -> None:
    program = demo(folder, "--kill-master")
    out, _ = program.communicate(timeout=100)
    assert program.returncode == 0, out
    assert re.search(r"KILLED the master, pid \d+", out)
    assert re.search(r"a new master, pid \d+, serves from the same folder", out)
    assert "RIGHT: " in out


@pytest.mark.parametrize(
    "numbers",
    [[signal.SIGINT], [signal.SIGTERM], [signal.SIGHUP], [signal.SIGINT, signal.SIGINT]],
)
def test_a_demo_that_is_stopped_stops_all_it_started(folder: Path, numbers: list[int]) -> None:
    program = demo(folder)
    assert program.stdout is not None
    for line in program.stdout:
        if "tasks submitted" in line:
            break
    for number in numbers:
        program.send_signal(number)
    out, _ = program.communicate(timeout=30)
    assert program.returncode == 130
    assert "Traceback" not in out


def test_a_folder_without_python_files_is_refused(tmp_path: Path) -> None:
    result = run("demo", "--dir", str(tmp_path))
    assert result.code == 2
    assert "no .py file" in result.err
    assert run("demo", "--dir", str(tmp_path / "none")).code == 2
    assert run("demo", "--address", "a:1").code == 2
    assert run("demo", "--forever", "--kill-master").code == 2


def test_the_producer_keeps_a_running_master_busy(address: str, folder: Path) -> None:
    environ = {**os.environ, "PULLWORK_ADDRESS": address}
    producer = subprocess.Popen(
        [sys.executable, "-c", MAIN, "demo", "--forever", "--dir", str(folder)], env=environ
    )
    try:
        until(lambda: len(tasks_in_demo(address)) >= 2, "two tasks are submitted")
    finally:
        producer.send_signal(signal.SIGINT)
        assert producer.wait(20) == 130


def tasks_in_demo(address: str) -> list[object]:
    found: list[object] = run("list", "--queue", "demo", "--json", "--address", address).json
    return found


async def test_a_process_that_can_t_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the master wants a folder")
    async with Cluster(tmp_path, slots=1) as cluster:
        with pytest.raises(DemoError, match="master ended by itself with") as caught:
            await cluster.start_master()
    assert str(tmp_path / "data") in str(caught.value)


def test_words_are_counted_in_names_comments_and_strings_only(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("the_name = 0xBEEF  # The end\nx = 'end of été'\n")
    assert count_file(file) == Counter({"the": 2, "name": 1, "end": 2, "x": 1, "of": 1, "été": 1})
    assert count_words(str(file)).words == count_file(file)


def test_installed_packages_are_not_counted(tmp_path: Path) -> None:
    for part in ("a", "site-packages/b", "dist-packages/c"):
        (tmp_path / part).mkdir(parents=True)
        (tmp_path / part / "m.py").write_text("pass")
    assert find_files(tmp_path) == [tmp_path / "a" / "m.py"]


def test_every_differing_word_is_told_the_worst_first() -> None:
    found, plain = Counter(a=1, b=5, c=2), Counter(a=1, b=2, d=1)
    assert differences(found, plain) == [
        "b: 5 by the cluster, 2 plainly",
        "c: 2 by the cluster, 0 plainly",
        "d: 0 by the cluster, 1 plainly",
    ]
    assert differences(plain, Counter(plain)) == []
