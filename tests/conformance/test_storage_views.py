"""Laws of readers: they see what was committed, and no more of it than was asked for."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from storage_bench import Bench, a_task, ended, id_of, plain, seqs
from test_storage_find import a_mixed_store, filters

from pullwork_master.core.commands import Filter
from pullwork_master.core.effects import Writes
from pullwork_master.core.model import State, Task
from pullwork_master.storage import sqlite_queries, sqlite_sweep
from pullwork_master.storage.base import store

HEAVY: dict[str, Any] = {
    "payload": b"p",
    "checkpoint": b"c",
    "result": b"r",
    "result_content_type": "text/plain",
    "headers": (("a", "b"),),
}


def light(task: Task, *, result: bool) -> dict[str, object]:
    """What a view shows of a task that is not asked for alone."""
    spec = task.spec._replace(payload=b"")
    return plain(replace(task, spec=spec, checkpoint=b"", result=task.result if result else None))


def test_a_task_asked_for_alone_is_shown_whole(bench: Bench) -> None:
    task = ended(1, 1, **HEAVY)
    bench.insert(task)
    shown = bench.reader().get(id_of(1))
    assert shown is not None
    assert plain(shown) == plain(task)


def test_a_task_that_is_not_there_is_none(bench: Bench) -> None:
    reader = bench.reader()
    assert reader.get(id_of(1)) is None
    assert reader.get("no uuid") is None
    assert reader.get_many([]) == []


def test_many_tasks_are_shown_once_each_without_payload(bench: Bench) -> None:
    tasks = [ended(seq, seq, **HEAVY) for seq in range(1, 700)]
    bench.insert(*tasks)
    wanted = [id_of(seq) for seq in (3, 700, 1, 3, *range(100, 690))]
    shown = sorted(bench.reader().get_many(wanted), key=lambda task: task.seq)
    assert seqs(shown) == [1, 3, *range(100, 690)]
    assert plain(shown[1]) == light(tasks[2], result=True)


def test_a_list_shows_what_its_filter_matches_newest_first(bench: Bench) -> None:
    tasks = sorted(a_mixed_store(), key=lambda task: -task.seq)
    bench.insert(*tasks)
    reader = bench.reader()
    for filter in filters():
        matching = [task.seq for task in tasks if filter.matches(task)]
        assert seqs(reader.list(filter, 0, 500)) == matching, filter
        assert seqs(reader.list(filter, 0, 5)) == matching[:5], filter
        older = [seq for seq in matching if seq < 200]
        assert seqs(reader.list(filter, 200, 500)) == older, filter


def test_a_list_shows_neither_payload_nor_result(bench: Bench) -> None:
    task = ended(1, 1, State.FAILED, **HEAVY)
    bench.insert(task)
    for states in ((), (State.FAILED,)):
        shown = bench.reader().list(Filter(states=states), 0, 5)
        assert [plain(line) for line in shown] == [light(task, result=False)]


def test_a_reader_sees_a_commit_at_once_and_nothing_before_it(bench: Bench) -> None:
    reader = bench.reader()
    task = a_task(1)
    assert reader.get(id_of(1)) is None
    bench.insert(task)
    task.attempt = 1
    assert [shown.attempt for shown in reader.get_many([id_of(1)])] == [0]
    bench.update(task)
    assert [shown.attempt for shown in reader.get_many([id_of(1)])] == [1]


def test_a_reader_works_in_another_thread_while_commits_go_on(bench: Bench) -> None:
    reader = bench.reader()
    counts: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            counts.append(len(reader.list(Filter(), 0, 1_000)))
        counts.append(len(reader.list(Filter(), 0, 1_000)))

    thread = threading.Thread(target=read)
    thread.start()
    for seq in range(1, 200, 10):
        bench.insert(*(a_task(seq + more) for more in range(10)))
    done.set()
    thread.join()
    assert counts == sorted(counts)
    assert {count % 10 for count in counts} == {0}
    assert counts[-1] == 200


def some_ends(bench: Bench) -> list[Task]:
    """Commits thirty ends, in an order that is not that of their tasks."""
    tasks = [
        ended(seq, 100 - seq, queue="ab"[seq % 2], owner="xyz"[seq % 3], **HEAVY)
        for seq in range(1, 31)
    ]
    bench.insert(*tasks, a_task(40), a_task(41, State.RUNNING))
    return sorted(tasks, key=lambda task: task.revision)


@pytest.mark.parametrize("owner", ["", "x", "none"])
@pytest.mark.parametrize("queue", ["", "a", "none"])
@pytest.mark.parametrize("scanned_max", [1, 4, 50_000])
def test_ends_are_told_in_order_none_missed_none_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, owner: str, queue: str, scanned_max: int
) -> None:
    monkeypatch.setattr(sqlite_queries, "ENDS_SCANNED_MAX", scanned_max)
    chosen = Filter(queue=queue, owner=owner)
    expected = [task for task in some_ends(bench) if chosen.matches(task)]
    reader = bench.reader()
    told: list[Task] = []
    cursor, more = 0, True
    while more:
        page = reader.ends_after(cursor, owner, queue, 4)
        assert len(page.tasks) <= 4
        assert page.revision > cursor
        told += page.tasks
        cursor, more = page.revision, page.more
    assert [plain(task) for task in told] == [light(task, result=True) for task in expected]
    assert cursor == 99
    assert reader.ends_after(cursor, owner, queue, 4) == ([], 99, False)


def test_a_cursor_comes_up_to_the_last_end_even_if_it_was_anothers(bench: Bench) -> None:
    bench.insert(ended(1, 1, owner="x"), ended(2, 2, owner="y"), ended(3, 3, owner="z"))
    assert bench.reader().ends_after(0, "x", "", 10)[1:] == (3, False)


def test_a_retried_task_is_no_end_any_more_until_it_ends_again(bench: Bench) -> None:
    task = ended(1, 1, State.FAILED)
    bench.insert(task)
    task.state, task.revision = State.QUEUED, 0
    bench.update(task)
    reader = bench.reader()
    assert reader.ends_after(0, "", "default", 5) == ([], 1, False)
    task.state, task.revision = State.SUCCEEDED, 2
    bench.update(task)
    assert seqs(reader.ends_after(1, "", "default", 5).tasks) == [1]


def test_what_was_swept_is_known_by_queue_and_owner(bench: Bench) -> None:
    bench.insert(
        ended(1, 5, queue="a", owner="x", expires_ms=1),
        ended(2, 9, queue="b", owner="y", expires_ms=1),
        ended(3, 7, queue="a", owner="z", expires_ms=1),
        ended(4, 11, queue="a", owner="x", expires_ms=50),
    )
    reader = bench.reader()
    assert reader.swept_revision("x", "") == 0
    bench.sweep(1)
    bench.restart()
    reader = bench.reader()
    assert [reader.swept_revision(owner, "") for owner in "xyzn"] == [5, 9, 7, 0]
    assert [reader.swept_revision("", queue) for queue in "abn"] == [7, 9, 0]
    assert reader.swept_revision("", "") == 9
    assert reader.swept_revision("x", "a") >= 5


def test_what_was_swept_is_never_too_low_however_many_owners_there_were(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_sweep, "NAMES_MAX", 10)
    for seq in range(1, 60):
        bench.insert(ended(seq, seq, owner=f"o{seq % 37}", queue=f"q{seq % 3}", expires_ms=seq))
        bench.sweep(seq)
    reader = bench.reader()
    for number in range(37):
        assert reader.swept_revision(f"o{number}", "") >= max(
            seq for seq in range(1, 60) if seq % 37 == number
        )
    assert [reader.swept_revision("", f"q{number}") for number in range(3)] == [57, 58, 59]


def test_the_last_revision_is_that_of_the_last_committed_end(bench: Bench) -> None:
    reader = bench.reader()
    assert reader.last_revision() == 0
    store(bench.storage, Writes(inserted={1: ended(1, 3)}, updated={}))
    assert reader.last_revision() == 3


def test_the_oldest_task_of_some_lines_waits_since_it_was_there_and_ready(bench: Bench) -> None:
    reader = bench.reader()
    assert reader.waiting_since("default", ["t"]) == 0, "nobody waits"
    bench.insert(
        a_task(1, ready_ms=9_000),
        a_task(2, State.RUNNING),
        a_task(3, priority=-5),
        a_task(4, type="other"),
        a_task(5, queue="else"),
        a_task(6, State.SCHEDULED, type="later"),
        *(a_task(seq, priority=seq % 3) for seq in range(7, 60)),
    )
    assert reader.waiting_since("default", ["t"]) == 1_003, "the low priority is the oldest"
    assert reader.waiting_since("default", ["t", "other"]) == 1_003
    assert reader.waiting_since("default", ["other", "later"]) == 1_004
    assert reader.waiting_since("else", ["t"]) == 1_005
    assert reader.waiting_since("default", ["later"]) == 0, "it is not ready"
    bench.update(a_task(3, State.RUNNING, priority=-5))
    assert reader.waiting_since("default", ["t"]) == 1_007, "the first is ready since 9,000 only"
