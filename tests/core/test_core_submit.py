"""What is submitted is stored whole or not at all, and never twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from world import POLICY, World, refused, spec, success

from pullwork_master.core import commands as c
from pullwork_master.core.model import State
from pullwork_master.core.rejections import Reason


def receipts(answer: object) -> list[tuple[str, bool]]:
    assert isinstance(answer, tuple), answer
    return [(receipt.task_id, receipt.duplicate) for receipt in answer]


def test_a_list_with_a_conflict_stores_none_of_its_tasks(world: World) -> None:
    world.submit(spec(3))
    answer = world.submit(spec(1), spec(2), spec(3, digest=b"other"), spec(4))
    rejection = refused(answer, Reason.TASK_ID_CONFLICT)
    assert rejection.field == "tasks[2].task_id"
    assert rejection.metadata == {"task_id": spec(3).id}
    assert list(world.storage.by_id) == [spec(3).id]
    assert world.core.book.next_seq == 2, "not even a number was used"


def test_a_repeated_list_is_answered_with_the_same_ids(world: World) -> None:
    first = world.submit(spec(1), spec(2))
    assert receipts(first) == [(spec(1).id, False), (spec(2).id, False)]
    assert receipts(world.submit(spec(1), spec(2))) == [(spec(1).id, True), (spec(2).id, True)]
    assert len(world.storage.by_id) == 2


def test_what_is_on_disk_alone_is_known_as_well(world: World) -> None:
    for number in range(1, 40):
        world.submit(spec(number))
    assert spec(39).id not in world.core.book.ids
    assert receipts(world.submit(spec(39))) == [(spec(39).id, True)]
    refused(world.submit(spec(39, digest=b"other")), Reason.TASK_ID_CONFLICT)


def test_what_has_ended_is_still_a_duplicate_until_retention_deletes_it(world: World) -> None:
    worker = world.join()
    world.submit(spec(1, retention_ms=5_000))
    world.request(worker, 1)
    world.report(worker, success(worker.token))
    assert receipts(world.submit(spec(1))) == [(spec(1).id, True)]
    world.pass_time(7_000)
    assert receipts(world.submit(spec(1))) == [(spec(1).id, False)]


def test_retention_deletes_only_what_has_ended(world: World) -> None:
    world.submit(*(spec(number, retention_ms=1) for number in range(1, 10)))
    world.submit(spec(20, retention_ms=1), delay_ms=600_000)
    worker = world.join(slots=3)
    world.request(worker, 3)
    for _ in range(20):
        world.pass_time(1_000)
        world.heartbeat(worker)
    assert len(world.storage.by_id) == 10
    world.report(worker, *map(success, worker.held))
    world.pass_time(3_000)
    assert len(world.storage.by_id) == 7


def test_two_of_one_id_in_a_list_are_one_task(world: World) -> None:
    answer = world.submit(spec(1), spec(1))
    assert receipts(answer) == [(spec(1).id, False), (spec(1).id, True)]
    assert len(world.storage.by_id) == 1
    refused(world.submit(spec(2), spec(2, digest=b"other")), Reason.TASK_ID_CONFLICT)
    assert len(world.storage.by_id) == 1


# --- unique keys ----------------------------------------------------------------------------


def keyed(number: int, **more: Any) -> Any:
    return spec(number, unique_key="k", **more)


def test_while_a_task_of_a_key_waits_or_runs_there_is_no_second(world: World) -> None:
    worker = world.join()
    world.submit(keyed(1))
    assert receipts(world.submit(keyed(2))) == [(spec(1).id, True)]
    world.request(worker, 1)
    assert receipts(world.submit(keyed(2))) == [(spec(1).id, True)]
    world.report(worker, success(worker.token))
    assert receipts(world.submit(keyed(2))) == [(spec(2).id, False)]


def test_a_key_counts_within_one_list(world: World) -> None:
    answer = world.submit(keyed(1), keyed(2))
    assert receipts(answer) == [(spec(1).id, False), (spec(1).id, True)]


def test_a_key_counts_also_for_a_task_that_is_on_disk_alone(world: World) -> None:
    world.submit(*(spec(number) for number in range(1, 40)))
    world.submit(keyed(50))
    assert spec(50).id not in world.core.book.ids
    assert receipts(world.submit(keyed(51))) == [(spec(50).id, True)]
    world.restart()
    assert receipts(world.submit(keyed(51))) == [(spec(50).id, True)]


def test_a_key_counts_for_a_delayed_task(world: World) -> None:
    world.submit(keyed(1), delay_ms=5_000)
    assert receipts(world.submit(keyed(2))) == [(spec(1).id, True)]


def test_a_key_is_of_its_queue_alone(world: World) -> None:
    world.submit(keyed(1))
    assert receipts(world.submit(keyed(2, queue="mail"))) == [(spec(2).id, False)]


def test_a_retried_task_does_not_hide_another_of_its_key(world: World) -> None:
    world.submit(keyed(1))
    world.cancel(spec(1).id)
    world.submit(keyed(2))
    world.retry(spec(1).id)
    world.cancel(spec(1).id)
    assert receipts(world.submit(keyed(3))) == [(spec(2).id, True)]


def test_a_retried_task_is_found_by_its_key_when_the_other_has_ended(world: World) -> None:
    world.submit(keyed(1))
    world.cancel(spec(1).id)
    world.submit(keyed(2))
    world.retry(spec(1).id)
    world.cancel(spec(2).id)
    assert receipts(world.submit(keyed(3))) == [(spec(1).id, True)]


# --- room -----------------------------------------------------------------------------------


def test_a_full_queue_refuses_the_whole_list_and_says_when_to_try_again() -> None:
    world = World(replace(POLICY, queue_tasks_max=3))
    world.submit(spec(1), spec(2), delay_ms=5_000)
    rejection = refused(world.submit(spec(3), spec(4)), Reason.QUEUE_FULL)
    assert rejection.metadata == {"queue": "default"}
    assert rejection.retry_after_ms
    assert len(world.storage.by_id) == 2
    world.submit(spec(5), spec(6, queue="mail"))
    refused(world.submit(spec(7)), Reason.QUEUE_FULL)


def test_what_a_full_queue_knows_already_is_still_answered() -> None:
    world = World(replace(POLICY, queue_tasks_max=1))
    world.submit(spec(1))
    assert receipts(world.submit(spec(1))) == [(spec(1).id, True)]


def test_what_runs_takes_no_room() -> None:
    world = World(replace(POLICY, queue_tasks_max=1))
    world.submit(spec(1))
    world.request(world.join(), 1)
    assert receipts(world.submit(spec(2))) == [(spec(2).id, False)]


def test_room_is_counted_over_restarts() -> None:
    world = World(replace(POLICY, queue_tasks_max=2))
    world.submit(spec(1), spec(2))
    world.restart()
    refused(world.submit(spec(3)), Reason.QUEUE_FULL)


def test_a_retry_needs_room_as_well() -> None:
    world = World(replace(POLICY, queue_tasks_max=1))
    world.submit(spec(1))
    world.cancel(spec(1).id)
    world.submit(spec(2))
    refused(world.retry(spec(1).id), Reason.QUEUE_FULL)
    assert world.task(1).state is State.CANCELLED


# --- delays ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["delay", "not before"])
def test_a_delayed_task_is_granted_at_its_moment_and_not_before(world: World, how: str) -> None:
    worker = world.join()
    if how == "delay":
        world.submit(spec(1), delay_ms=5_000)
    else:
        world.submit(spec(1, not_before_ms=world.wall_ms + 5_000))
    world.request(worker, 1, wait_ms=10_000)
    for _ in range(4):
        world.pass_time(1_000)
        world.heartbeat(worker)
    world.pass_time(999)
    assert world.task(1).state is State.SCHEDULED
    world.pass_time(1)
    assert world.task(1).state is State.RUNNING
    assert len(worker.held) == 1


def test_a_moment_that_has_passed_is_no_delay(world: World) -> None:
    world.submit(spec(1, not_before_ms=world.wall_ms))
    assert world.task(1).state is State.QUEUED


def test_delays_go_by_the_wall_clock(world: World) -> None:
    world.submit(spec(1), delay_ms=3_600_000)
    world.jump_wall(3_600_000)
    assert world.task(1).state is State.QUEUED


def test_more_delayed_tasks_than_memory_holds_all_wake_in_order(world: World) -> None:
    for number in range(1, 31):
        world.submit(spec(number), delay_ms=1_000 + 100 * ((number * 7) % 30))
    worker = world.join(slots=50)
    woken: list[int] = []
    for _ in range(60):
        world.pass_time(100)
        world.request(worker, 1)
        world.heartbeat(worker)
    woken = [int(grant.spec.id[-12:]) for grant in worker.held.values()]
    assert woken == sorted(range(1, 31), key=lambda number: (number * 7) % 30)


def test_a_queue_comes_to_be_with_its_first_task(world: World) -> None:
    refused(world.ask(c.SetPaused("new", True)), Reason.QUEUE_NOT_FOUND)
    world.submit(spec(1, queue="new"))
    world.ask(c.SetPaused("new", True))
    assert set(world.core.book.queues) == {"default", "new"}


def test_no_more_queues_are_made_than_the_master_keeps() -> None:
    world = World(replace(POLICY, queues_max=2))  # `default` always exists
    world.submit(spec(1, queue="a"))
    refused(world.submit(spec(2, queue="a"), spec(3, queue="b")), Reason.TOO_MANY_REQUESTS)
    assert list(world.core.book.queues) == ["default", "a"]
    assert receipts(world.submit(spec(4, queue="a"))) == [(spec(4).id, False)]
