"""What a commit returned for outlives SIGKILL at any moment, and nothing is there by halves."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from storage_bench import Bench
from storage_engines import sqlite

from pullwork_master.core.commands import Filter
from pullwork_master.core.model import State

# Commits ten tasks at a time, ends those of the commit before, and says so only afterwards.
WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from storage_bench import a_task
from pullwork_master.core.effects import Writes
from pullwork_master.core.model import State
from pullwork_master.storage.base import store
from pullwork_master.storage.sqlite import SqliteStorage

storage = SqliteStorage(sys.argv[1])
first = storage.open().next_seq
before = []
while True:
    tasks = [a_task(seq, payload=b"x" * 3000) for seq in range(first, first + 10)]
    for task in before:
        task.state, task.revision, task.result = State.SUCCEEDED, task.seq, b"%d" % task.seq
    store(
        storage,
        Writes(
            inserted={task.seq: task for task in tasks},
            updated={task.seq: task for task in before},
        ),
    )
    print(first, flush=True)
    before, first = tasks, first + 10
"""


@pytest.mark.parametrize("commits", [1, 40, 400])
def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path, commits: int) -> None:
    program = [sys.executable, "-c", WRITER, str(tmp_path / "data"), str(Path(__file__).parent)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        said = [int(writer.stdout.readline()) for _ in range(commits)]
        writer.send_signal(signal.SIGKILL)
        # It may have said more before the signal came; the last line may be cut.
        said += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
    bench = Bench(sqlite(tmp_path))
    last = said[-1] + 9
    assert bench.opened.term == 2
    assert bench.opened.next_seq in (last + 1, last + 11)
    stored = bench.reader().list(Filter(), 0, 10_000_000)
    assert [task.seq for task in stored] == list(range(bench.opened.next_seq - 1, 0, -1))
    for task in bench.by_seq(*range(1, bench.opened.next_seq - 10)):
        assert (task.state, task.revision) == (State.SUCCEEDED, task.seq)
        assert task.result == b"%d" % task.seq
        assert task.spec.payload == b"x" * 3000
    assert bench.opened.queued[0].queued == 10
    bench.close()
