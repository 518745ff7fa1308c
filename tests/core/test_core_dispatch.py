"""Who gets what, in which order, and who is told that there is work."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from world import POLICY, Worker, World, refused, released, spec, success

from pullwork_master.core import commands as c
from pullwork_master.core.effects import Available
from pullwork_master.core.limits import TICKETS_BYTES_MAX, TICKETS_MAX
from pullwork_master.core.rejections import Reason


def numbers(worker: Worker) -> list[int]:
    """The numbers of the tasks that a worker holds, in the order in which they came."""
    return [int(grant.spec.id[-12:]) for grant in worker.held.values()]


def submit(world: World, *which: int, **more: Any) -> None:
    world.submit(*(spec(number, **more) for number in which))


def hints(world: World) -> Counter[str]:
    return Counter(to for to, news in world.news if isinstance(news, Available))


# --- order ----------------------------------------------------------------------------------


def test_tasks_of_one_priority_go_first_come_first_served(world: World) -> None:
    worker = world.join(slots=20)
    submit(world, *range(1, 11))
    for _ in range(10):
        world.request(worker, 1, wait_ms=1_000)
    assert numbers(worker) == list(range(1, 11))


def test_higher_priority_goes_first_however_late_it_comes(world: World) -> None:
    worker = world.join(slots=20)
    submit(world, *range(1, 9), priority=-1)
    submit(world, *range(11, 19), priority=0)
    submit(world, 21, 22, priority=7)
    for _ in range(18):
        world.request(worker, 1, wait_ms=1_000)
    assert numbers(worker) == [21, 22, *range(11, 19), *range(1, 9)]


def test_types_of_one_queue_share_one_order(world: World) -> None:
    worker = world.join(slots=10)
    for number, type_ in enumerate("abcba", 1):
        submit(world, number, type=type_)
    world.request(worker, 5)
    assert numbers(worker) == [1, 2, 3, 4, 5]


def test_queues_take_turns_whatever_their_priorities(world: World) -> None:
    worker = world.join(slots=10)
    submit(world, 1, 2, 3, 4, queue="default", priority=9)
    submit(world, 11, 12, 13, 14, queue="mail")
    world.request(worker, 6)
    assert Counter(number > 10 for number in numbers(worker)) == {True: 3, False: 3}


def test_requests_for_one_task_take_queues_in_turn_as_well(world: World) -> None:
    worker = world.join(slots=10)
    submit(world, 1, 2, 3, queue="default")
    submit(world, 11, 12, 13, queue="mail")
    for _ in range(4):
        world.request(worker, 1)
    assert Counter(number > 10 for number in numbers(worker)) == {True: 2, False: 2}


def test_a_returned_ticket_takes_its_old_place(world: World) -> None:
    worker = world.join(slots=4)
    submit(world, 1, 2, 3)
    world.request(worker, 1)
    world.report(worker, released(worker.token), tasks=2)
    assert numbers(worker) == [1, 2]


@pytest.mark.parametrize("unfit", [{"type": "z"}, {"queue": "elsewhere"}], ids=["type", "queue"])
def test_nobody_is_given_what_it_does_not_serve(world: World, unfit: dict[str, str]) -> None:
    worker = world.join()
    submit(world, 1, **unfit)
    assert world.request(worker, 1) == ()
    assert hints(world) == {}


# --- bounds ---------------------------------------------------------------------------------


def test_nobody_is_given_more_than_its_credit(world: World) -> None:
    worker = world.join(slots=2, look_ahead_max=1)
    submit(world, 1, 2, 3, 4)
    world.request(worker, 2)
    world.request(worker, 3)
    assert numbers(worker) == [1, 2, 3]
    assert world.request(worker, 1) == ()


def test_a_request_beyond_the_session_is_refused_and_nothing_of_it_is_done(world: World) -> None:
    worker = world.join(slots=2, look_ahead_max=1)
    submit(world, 1)
    world.request(worker, 1)
    assert refused(world.request(worker, 4), Reason.INVALID_FIELD).field == "max_tasks"
    answer = world.report(worker, success(worker.token), tasks=4)
    assert refused(answer, Reason.INVALID_FIELD).field == "request_tasks"
    assert len(world.session(worker).held) == 1, "the report was not taken either"


def test_the_bytes_of_an_answer_are_bounded(world: World) -> None:
    worker = world.join(slots=10)
    submit(world, 1, 2, 3, 4, payload=b"x" * (TICKETS_BYTES_MAX * 2 // 5))
    world.request(worker, 4)
    assert numbers(worker) == [1, 2]
    world.request(worker, 4)
    assert numbers(worker) == [1, 2, 3, 4]


def test_one_ticket_comes_however_large_it_is(world: World) -> None:
    worker = world.join(slots=10)
    submit(world, 1, 2, payload=b"x" * (TICKETS_BYTES_MAX + 1))
    world.request(worker, 4)
    assert numbers(worker) == [1]


def test_the_tickets_of_an_answer_are_bounded() -> None:
    world = World(replace(POLICY, window_tasks=TICKETS_MAX * 2))
    worker = world.join(slots=TICKETS_MAX * 2)
    submit(world, *range(1, TICKETS_MAX + 10))
    world.request(worker, TICKETS_MAX + 5)
    assert len(worker.held) == TICKETS_MAX


# --- parked requests ------------------------------------------------------------------------


def test_a_parked_request_is_answered_with_the_first_task_that_comes(world: World) -> None:
    worker = world.join()
    assert world.request(worker, 2, wait_ms=5_000) is None
    world.pass_time(1_000)
    submit(world, 1)
    assert numbers(worker) == [1]


def test_a_parked_request_is_answered_with_nothing_when_its_wait_ends(world: World) -> None:
    worker = world.join()
    world.request(worker, 2, wait_ms=1_500)
    world.pass_time(1_499)
    assert world.unparked == []
    world.pass_time(1)
    assert world.unparked == [(worker, ())]


def test_parked_requests_share_a_list_of_tasks_fairly(world: World) -> None:
    workers = [world.join(f"w{n}", slots=8) for n in range(4)]
    for worker in workers:
        world.request(worker, 8, wait_ms=60_000)
    submit(world, *range(1, 5))
    assert [len(worker.held) for worker in workers] == [1, 1, 1, 1]


def test_whoever_parked_first_is_served_first(world: World) -> None:
    workers = [world.join(f"w{n}") for n in range(3)]
    for worker in reversed(workers):
        world.request(worker, 1, wait_ms=60_000)
    submit(world, 1)
    submit(world, 2)
    assert [numbers(worker) for worker in workers] == [[], [2], [1]]


def test_a_second_request_answers_the_first_with_nothing(world: World) -> None:
    worker = world.join()
    world.request(worker, 1, wait_ms=60_000)
    world.request(worker, 1, wait_ms=60_000)
    assert world.unparked == [(worker, ())]
    submit(world, 1)
    assert numbers(worker) == [1]


def test_the_task_of_a_caller_that_is_gone_goes_to_another(world: World) -> None:
    gone, here = world.join("w1"), world.join("w2")
    world.request(gone, 1, wait_ms=60_000)
    call = world.calls
    world.request(here, 1, wait_ms=60_000)
    world.ask(c.Unpark(gone.session, call))
    submit(world, 1)
    assert (numbers(gone), numbers(here)) == ([], [1])


def test_an_unpark_of_an_earlier_call_leaves_the_later_one(world: World) -> None:
    worker = world.join()
    world.request(worker, 1, wait_ms=60_000)
    earlier = world.calls
    world.request(worker, 1, wait_ms=60_000)
    world.ask(c.Unpark(worker.session, earlier))
    submit(world, 1)
    assert numbers(worker) == [1]


def test_a_doubted_worker_that_is_parked_gets_nothing_until_it_is_back(world: World) -> None:
    worker = world.join()
    world.request(worker, 1, wait_ms=60_000)
    world.break_stream(worker)
    submit(world, 1)
    assert numbers(worker) == []
    world.open_stream(worker)
    assert numbers(worker) == [1]


def test_a_drain_answers_a_parked_request(world: World) -> None:
    worker = world.join()
    world.request(worker, 1, wait_ms=60_000)
    world.ask(c.Drain("w1"))
    assert world.unparked == [(worker, ())]
    assert world.request(worker, 1, wait_ms=60_000) == (), "and no later one is parked"


def test_a_request_waits_for_the_page_that_holds_its_task(world: World) -> None:
    first, second = world.join("w1", slots=50), world.join("w2", slots=50)
    submit(world, *range(1, 30))
    both = [(9_000 + n, c.Request(worker.session, 8)) for n, worker in enumerate((first, second))]
    world.step(both)
    assert world.answers[9_000]
    assert 9_001 not in world.answers, "empty means that nothing is there, and it is"
    world.step([])
    assert world.answers[9_001]


def test_a_draining_worker_waits_for_no_page(world: World) -> None:
    first, second = world.join("w1", slots=50), world.join("w2", slots=50)
    submit(world, *range(1, 30))
    world.ask(c.Drain("w2"))
    world.step([(9_000, c.Request(first.session, 8)), (9_001, c.Request(second.session, 8))])
    assert world.answers[9_001] == ()


# --- a request repeated ---------------------------------------------------------------------


def test_a_request_that_is_repeated_gets_the_same_tickets(world: World) -> None:
    worker = world.join()
    submit(world, 1, 2, 3)
    first = world.request(worker, 2, request_id="r1")
    assert world.request(worker, 2, request_id="r1") == first
    assert numbers(worker) == [1, 2]


def test_a_repeated_request_does_not_bring_back_what_has_ended(world: World) -> None:
    worker = world.join()
    submit(world, 1, 2, 3)
    world.request(worker, 2, request_id="r1")
    first, second = worker.held
    world.report(worker, success(first))
    answer = world.request(worker, 2, request_id="r1")
    assert [grant.token for grant in answer] == [second]  # type: ignore[attr-defined]


def test_a_report_that_is_repeated_brings_the_same_next_tickets(world: World) -> None:
    worker = world.join(slots=1, look_ahead_max=0)
    submit(world, 1, 2, 3)
    world.request(worker, 1)
    done = success(worker.token)
    first = world.report(worker, done, tasks=1, request_id="r1")
    assert world.report(worker, done, tasks=1, request_id="r1") == first


def test_a_parked_request_that_was_answered_can_be_repeated(world: World) -> None:
    worker = world.join()
    world.request(worker, 1, wait_ms=60_000, request_id="r1")
    submit(world, 1)
    before = numbers(worker)
    world.request(worker, 1, request_id="r1")
    assert numbers(worker) == before == [1]


def test_a_parked_request_that_is_repeated_gives_way_to_its_repeat(world: World) -> None:
    worker = world.join()
    world.request(worker, 1, wait_ms=60_000, request_id="r1")
    world.break_stream(worker)
    submit(world, 1, 2)
    world.request(worker, 1, request_id="r1")
    assert world.unparked == [(worker, ())]
    world.open_stream(worker)
    assert numbers(worker) == [1]


def test_an_empty_answer_is_not_remembered(world: World) -> None:
    worker = world.join()
    assert world.request(worker, 1, request_id="r1") == ()
    submit(world, 1)
    world.request(worker, 1, request_id="r1")
    assert numbers(worker) == [1]


# --- hints ----------------------------------------------------------------------------------


def test_as_many_idle_workers_are_told_as_there_are_tasks(world: World) -> None:
    for number in range(6):
        world.join(f"w{number}")
    submit(world, 1)
    assert sum(hints(world).values()) == 1
    submit(world, 2, 3)
    assert sorted(hints(world).values()) == [1, 1, 1, 1], "three tasks, three more"


def test_a_hint_names_the_types_that_wait(world: World) -> None:
    worker = world.join()
    world.submit(spec(1, type="b"), spec(2, type="c", queue="mail"), spec(3, type="z"))
    assert world.news_of(worker, Available)[0] == Available(("b", "c"))


def test_opening_the_stream_with_waiting_tasks_is_answered_by_a_hint(world: World) -> None:
    submit(world, 1)
    worker = world.join(stream=False)
    assert not world.news_of(worker, Available)
    world.open_stream(worker)
    assert world.news_of(worker, Available) == [Available(("a",))]


def test_a_worker_is_told_once_until_it_asks(world: World) -> None:
    worker = world.join()
    for number in range(1, 6):
        submit(world, number)
    assert len(world.news_of(worker, Available)) == 1


def test_whoever_asked_and_got_nothing_is_told_of_the_next_task(world: World) -> None:
    worker = world.join()
    world.request(worker, 1)
    submit(world, 1)
    assert len(world.news_of(worker, Available)) == 1


def test_the_busy_the_draining_and_the_doubted_are_not_told(world: World) -> None:
    busy = world.join("w1", slots=1, look_ahead_max=0)
    submit(world, 1)
    world.request(busy, 1)
    world.join("w2")
    doubted = world.join("w3")
    world.ask(c.Drain("w2"))
    world.break_stream(doubted)
    world.news.clear()
    submit(world, 2)
    assert hints(world) == {}


def test_a_worker_whose_slot_is_freed_is_told(world: World) -> None:
    worker = world.join(slots=1, look_ahead_max=0)
    submit(world, 1, 2)
    world.request(worker, 1)
    world.news.clear()
    world.report(worker, success(worker.token))
    assert len(world.news_of(worker, Available)) == 1


def test_tasks_that_a_dead_worker_held_are_told_to_the_others(world: World) -> None:
    dying = world.join("w1")
    submit(world, 1)
    world.request(dying, 1)
    other = world.join("w2")
    world.ask(c.Evict("w1"))
    assert len(world.news_of(other, Available)) == 1


def test_what_somebody_was_told_of_is_told_to_another_when_he_is_gone(world: World) -> None:
    workers = [world.join(f"w{number}") for number in range(3)]
    submit(world, 1)
    for gone in workers[:2]:
        (told,) = (each for each in workers if world.news_of(each, Available))
        assert told is gone
        world.news.clear()
        if gone is workers[0]:
            world.ask(c.Evict(told.session))
        else:
            world.break_stream(told)
    assert len(world.news_of(workers[2], Available)) == 1


def test_what_somebody_was_told_of_is_told_to_another_when_he_is_to_leave(world: World) -> None:
    told, other = world.join("w1"), world.join("w2")
    submit(world, 1)
    assert (len(world.news_of(told, Available)), world.news_of(other, Available)) == (1, [])
    world.ask(c.Drain("w1"))
    assert len(world.news_of(other, Available)) == 1


def test_what_somebody_was_told_of_is_told_to_another_when_he_is_full(world: World) -> None:
    told = world.join("w1", queues=("mail", "default"), slots=1, look_ahead_max=0)
    other = world.join("w2", queues=("default",))
    submit(world, 1)
    submit(world, 2, queue="mail")
    world.request(told, 1)
    assert (numbers(told), len(world.news_of(other, Available))) == ([2], 1)
