"""Laws of commit, open and restart."""

from __future__ import annotations

from typing import Any

import pytest
from storage_bench import FLOW, Bench, a_queue, a_task, ended, id_of, plain, plain_all, seqs

from pullwork_master.core.effects import FlowCount, ScheduledCount, Wants, Writes
from pullwork_master.core.model import (
    Attempt,
    AttemptEnd,
    Failure,
    FailureKind,
    Lease,
    Limits,
    State,
)
from pullwork_master.storage.base import StorageError, store

LOST = Failure(FailureKind.WORKER_LOST, "", "it vanished", retryable=True)


def test_a_first_start_finds_nothing_and_counts_from_one(bench: Bench) -> None:
    opened = bench.opened
    assert (opened.term, opened.next_seq, opened.next_revision) == (1, 1, 1)
    assert (opened.queues, opened.queued, opened.scheduled, opened.running) == ([], [], [], [])
    assert opened.store_id


def test_every_start_is_a_new_term_of_the_same_store(bench: Bench) -> None:
    store_id = bench.opened.store_id
    terms = [bench.opened.term]
    for _ in range(3):
        bench.restart()
        terms.append(bench.opened.term)
    assert terms == [1, 2, 3, 4]
    assert bench.opened.store_id == bench.opened.cluster_id == store_id


def test_what_was_committed_is_there_after_a_restart(bench: Bench) -> None:
    task = a_task(1, payload=b"\0\xff" * 100, headers=(("traceparent", "00-ä-☃"),))
    bench.insert(task)
    bench.restart()
    assert plain_all(bench.by_seq(1)) == [plain(task)]


def test_a_seq_is_never_given_out_again_even_if_its_task_is_gone(bench: Bench) -> None:
    bench.insert(a_task(1), ended(9, 1, expires_ms=5))
    assert bench.sweep(5) == 1
    bench.restart()
    assert bench.opened.next_seq == 10


def test_a_revision_is_never_given_out_again_after_a_sweep(bench: Bench) -> None:
    bench.insert(ended(1, 41, expires_ms=5))
    bench.sweep(5)
    assert bench.reader().last_revision() == 41
    bench.restart()
    assert bench.opened.next_revision == 42


def test_a_revision_is_never_given_out_again_after_a_retry(bench: Bench) -> None:
    task = ended(1, 41, State.FAILED)
    bench.insert(task)
    task.state, task.revision = State.QUEUED, 0
    bench.update(task)
    bench.restart()
    assert bench.opened.next_revision == 42


def test_the_core_may_change_its_task_without_the_store_noticing(bench: Bench) -> None:
    task = a_task(1)
    bench.insert(task)
    task.attempt, task.state = 7, State.RUNNING
    assert bench.by_seq(1)[0].attempt == 0
    bench.update(task)
    task.attempt = 8
    assert bench.by_seq(1)[0].attempt == 7


def test_the_core_may_change_what_it_was_shown_without_the_store_noticing(bench: Bench) -> None:
    bench.insert(a_task(1))
    shown = bench.by_seq(1)[0]
    shown.attempt = 7
    assert bench.by_seq(1)[0].attempt == 0
    seen = bench.reader().get(id_of(1))
    assert seen is not None
    seen.attempt = 7
    assert bench.by_seq(1)[0].attempt == 0


def test_the_core_may_change_its_queue_without_the_store_noticing(bench: Bench) -> None:
    queue = a_queue("default")
    store(bench.storage, Writes(queues={"default": queue}))
    queue.paused = True
    assert not bench.storage.reload().queues[0].paused


def test_a_task_may_arrive_in_any_state(bench: Bench) -> None:
    tasks = [a_task(int(state), state) for state in State]
    bench.insert(*tasks)
    bench.restart()
    assert plain_all(bench.by_seq(*range(1, 7))) == plain_all(tasks)


def test_a_task_may_be_inserted_and_updated_in_one_commit(bench: Bench) -> None:
    task = a_task(1, State.RUNNING, attempt=1)
    store(bench.storage, Writes(inserted={1: task}, updated={1: task}))
    assert plain_all(bench.by_seq(1)) == [plain(task)]


def test_every_step_of_a_life_leaves_no_trace_of_the_one_before(bench: Bench) -> None:
    task = a_task(1, State.SCHEDULED, ready_ms=50)
    bench.insert(task)
    story = (Attempt(1, "w", "s", 60, 70, AttemptEnd.WORKER_LOST, LOST, b"d"),)
    steps: list[dict[str, Any]] = [
        {"state": State.RUNNING, "attempt": 1, "ready_ms": 0, "started_ms": 60, "worker": "w"},
        {"checkpoint": b"half"},
        {"state": State.QUEUED, "deaths": 1, "failures": 2, "history": story, "failure": LOST},
        {"state": State.CANCELLED, "ended_ms": 80, "revision": 1, "expires_ms": 90},
        {"state": State.RUNNING, "attempt": 2, "ended_ms": 0, "revision": 0, "expires_ms": 0},
        {"state": State.SUCCEEDED, "result": b"", "revision": 2, "digest": b"x", "session": "s"},
        {"state": State.QUEUED, "result": None, "revision": 0, "history": (), "failure": None},
    ]
    for step in steps:
        for name, value in step.items():
            setattr(task, name, value)
        bench.update(task)
        assert plain_all(bench.by_seq(1)) == [plain(task)]


def test_a_lease_is_never_stored(bench: Bench) -> None:
    bench.insert(a_task(1, State.RUNNING, attempt=1, lease=Lease("1.1.s", "s", 5)))
    assert bench.by_seq(1)[0].lease is None
    bench.restart()
    assert [task.lease for task in bench.opened.running] == [None]


def test_a_start_finds_the_running_tasks_whole(bench: Bench) -> None:
    running = a_task(2, State.RUNNING, attempt=1, session="s", worker="w", payload=b"p")
    bench.insert(a_task(1), running, ended(3, 1))
    bench.restart()
    assert plain_all(bench.opened.running) == [plain(running)]


def test_a_start_counts_each_flow_that_waits(bench: Bench) -> None:
    bench.insert(
        a_task(1, queue="b", priority=-3),
        a_task(2, queue="b", priority=5),
        a_task(8, queue="b", flow=7, priority=-9),
        a_task(3, queue="b", type="u"),
        a_task(4, State.SCHEDULED, queue="a", ready_ms=9),
        a_task(5, State.SCHEDULED, queue="b", ready_ms=9),
        a_task(6, State.RUNNING, queue="c"),
        ended(7, 1, queue="c"),
    )
    bench.restart()
    assert bench.opened.queued == [
        FlowCount("b", "t", 7, 1, -9),
        FlowCount("b", "t", FLOW, 2, 5),
        FlowCount("b", "u", FLOW, 1, 0),
    ]
    assert bench.opened.scheduled == [ScheduledCount("a", "t", 1), ScheduledCount("b", "t", 1)]


def test_a_start_finds_every_queue_as_it_was_left(bench: Bench) -> None:
    queues = {name: a_queue(name) for name in ("b", "a")}
    store(bench.storage, Writes(queues=queues))
    limits = Limits(9, 8, 0.5, 7, 6, 2.25, 5, 4)
    store(bench.storage, Writes(queues={"b": a_queue("b", paused=True, limits=limits)}))
    bench.restart()
    assert bench.opened.queues == [a_queue("a"), a_queue("b", paused=True, limits=limits)]
    store(bench.storage, Writes(queues={"b": a_queue("b")}))
    bench.restart()
    assert bench.opened.queues == [a_queue("a"), a_queue("b")]


def test_a_queue_that_was_dropped_is_gone(bench: Bench) -> None:
    store(bench.storage, Writes(queues={name: a_queue(name) for name in ("b", "a")}))
    store(bench.storage, Writes(queues={"b": None, "c": None}))
    bench.restart()
    assert bench.opened.queues == [a_queue("a")]


def test_to_read_the_store_again_is_no_new_term(bench: Bench) -> None:
    bench.insert(a_task(1, State.RUNNING), a_task(2))
    again = bench.storage.reload()
    assert (again.term, again.store_id) == (1, bench.opened.store_id)
    assert (again.next_seq, seqs(again.running), again.queued) == (
        3,
        [1],
        [FlowCount("default", "t", FLOW, 1, 0)],
    )
    assert bench.storage.reload().term == 1


@pytest.mark.parametrize(
    "repeated", [a_task(2, id=id_of(1)), a_task(1, id=id_of(2))], ids=["id", "seq"]
)
def test_a_commit_stores_all_or_nothing(bench: Bench, repeated: object) -> None:
    first = a_task(1)
    bench.insert(first)
    first.attempt = 5
    writes = Writes(
        inserted={3: a_task(3), 2: repeated},  # type: ignore[dict-item]
        updated={1: first},
        queues={"q": a_queue("q")},
    )
    with pytest.raises(StorageError):
        store(bench.storage, writes)
    assert seqs(bench.by_seq(1, 2, 3)) == [1]
    assert bench.by_seq(1)[0].attempt == 0
    again = bench.storage.reload()
    assert (again.queues, again.next_seq) == ([], 2)
    bench.insert(a_task(2))
    assert seqs(bench.by_seq(1, 2)) == [1, 2]


def test_an_update_of_a_task_that_is_gone_makes_none(bench: Bench) -> None:
    bench.update(a_task(1))
    assert bench.by_seq(1) == []


def test_a_sweep_takes_those_that_expired_first_and_says_how_many(bench: Bench) -> None:
    bench.insert(*(ended(seq, seq, expires_ms=100 - seq) for seq in range(1, 7)))
    bench.insert(ended(7, 7), a_task(8))
    assert bench.sweep(98, limit=3) == 3
    assert seqs(bench.by_seq(*range(1, 9))) == [1, 2, 3, 7, 8]
    assert bench.sweep(98) == 2
    assert bench.sweep(98) == 0
    assert seqs(bench.by_seq(*range(1, 9))) == [1, 7, 8]


def test_a_sweep_never_takes_a_task_that_has_not_ended(bench: Bench) -> None:
    bench.insert(*(a_task(int(state), state, expires_ms=5) for state in State))
    assert bench.sweep(10) == 3
    assert [task.state.ended for task in bench.by_seq(*range(1, 7))] == [False] * 3


def test_updates_come_before_the_sweep_of_the_same_commit(bench: Bench) -> None:
    retried = ended(1, 1, State.FAILED, expires_ms=5)
    expired = a_task(2)
    bench.insert(retried, expired)
    retried.state, retried.revision, retried.expires_ms = State.QUEUED, 0, 0
    expired.state, expired.revision, expired.expires_ms = State.CANCELLED, 2, 5
    writes = Writes(updated={1: retried, 2: expired}, sweep_before_ms=5, sweep_tasks=9)
    assert store(bench.storage, writes) == 1
    assert seqs(bench.by_seq(1, 2)) == [1]


def test_a_swept_task_leaves_nothing_behind(bench: Bench) -> None:
    bench.insert(ended(1, 1, expires_ms=5, unique_key="k"))
    bench.sweep(5)
    found = bench.storage.find(Wants(known_ids=[id_of(1)], ids=[id_of(1)]))
    assert (found.known, found.tasks) == ({}, [])
    bench.insert(a_task(1))
    assert plain_all(bench.by_seq(1)) == [plain(a_task(1))]


def test_a_payload_of_many_megabytes_comes_back_whole(bench: Bench) -> None:
    big = bytes(range(256)) * 16_384
    task = ended(1, 1, payload=big, result=big[::-1], checkpoint=big[:99])
    bench.insert(task)
    bench.restart()
    assert plain_all(bench.by_seq(1)) == [plain(task)]


def test_closing_twice_is_no_error(bench: Bench) -> None:
    reader = bench.reader()
    reader.close()
    reader.close()
    bench.storage.close()
    bench.storage.close()
    bench.restart()
    assert bench.opened.term == 2


def test_an_empty_commit_changes_nothing(bench: Bench) -> None:
    assert store(bench.storage, Writes()) == 0
    assert bench.storage.reload().next_seq == 1
