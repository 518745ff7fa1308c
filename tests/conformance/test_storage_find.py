"""Laws of what the core is shown before a step."""

from __future__ import annotations

import random

import pytest
from storage_bench import FIRST, Bench, a_task, ended, id_of, page_wanted, plain, plain_all, seqs

from pullwork_master.core.commands import Filter
from pullwork_master.core.effects import Found, SchedulePageWanted, Search, Wants
from pullwork_master.core.limits import TASK_BYTES
from pullwork_master.core.model import State, Task


def test_nothing_wanted_is_nothing_found(bench: Bench) -> None:
    assert bench.storage.find(Wants()) == Found()


def test_known_ids_are_answered_with_their_digest_and_the_others_are_left_out(
    bench: Bench,
) -> None:
    task = a_task(1)
    task.spec = task.spec._replace(digest=b"\x01\x02")
    bench.insert(task, a_task(2))
    found = bench.storage.find(Wants(known_ids=[id_of(1), id_of(2), id_of(3)]))
    assert found.known == {id_of(1): b"\x01\x02", id_of(2): b""}


@pytest.mark.parametrize("count", [1, 7, 8, 9, 511, 512, 513, 1_300])
def test_any_number_of_ids_is_found(bench: Bench, count: int) -> None:
    bench.insert(*(a_task(seq) for seq in range(1, count + 1)))
    ids = [id_of(seq) for seq in range(count + 5, 0, -1)]
    found = bench.storage.find(Wants(known_ids=ids, ids=ids, seqs=list(range(count + 5))))
    assert found.known.keys() == {id_of(seq) for seq in range(1, count + 1)}
    assert sorted(seqs(found.tasks)) == list(range(1, count + 1))


def test_a_task_wanted_in_three_ways_is_shown_once_and_whole(bench: Bench) -> None:
    task = a_task(1, unique_key="k", payload=b"p", checkpoint=b"c", result=b"r")
    bench.insert(task)
    wants = Wants(
        ids=[id_of(1), id_of(1)], seqs=[1, 1], unique_keys=[("default", "k"), ("default", "k")]
    )
    assert plain_all(bench.storage.find(wants).tasks) == [plain(task)]


def test_what_does_not_exist_is_left_out(bench: Bench) -> None:
    bench.insert(a_task(1))
    wants = Wants(
        ids=[id_of(2), "no uuid"],
        known_ids=[id_of(2), "no uuid"],
        seqs=[2],
        unique_keys=[("default", "k"), ("default", "")],
    )
    found = bench.storage.find(wants)
    assert (found.tasks, found.known) == ([], {})


@pytest.mark.parametrize("state", State)
def test_a_unique_key_is_held_while_its_task_has_not_ended(bench: Bench, state: State) -> None:
    bench.insert(a_task(1, state, unique_key="k"))
    found = bench.storage.find(Wants(unique_keys=[("default", "k"), ("other", "k")]))
    assert seqs(found.tasks) == ([] if state.ended else [1])


def test_a_unique_key_is_free_once_its_task_ended(bench: Bench) -> None:
    task = a_task(1, unique_key="k")
    bench.insert(task)
    task.state = State.SUCCEEDED
    bench.update(task)
    assert bench.storage.find(Wants(unique_keys=[("default", "k")])).tasks == []


def a_mixed_line() -> list[Task]:
    """Forty tasks of five priorities, in an order that is neither of them."""
    chance = random.Random(1)
    return [a_task(seq, priority=chance.choice([-100, -1, 0, 3, 100])) for seq in range(1, 41)]


def test_a_line_is_paged_in_order_strictly_after_the_key(bench: Bench) -> None:
    tasks = a_mixed_line()
    bench.insert(*tasks, a_task(50, type="u"), a_task(51, queue="q"), a_task(52, State.RUNNING))
    ordered = sorted(tasks, key=lambda task: task.key)
    assert bench.page(FIRST) == seqs(ordered)
    for place, task in enumerate(ordered):
        assert bench.page(task.key, limit=7) == seqs(ordered[place + 1 : place + 8])


def test_a_line_may_be_paged_after_a_key_that_nobody_has(bench: Bench) -> None:
    bench.insert(a_task(2, priority=5), a_task(4), a_task(6, priority=-5))
    assert bench.page((-5, 1)) == [2, 4, 6]
    assert bench.page((-5, 3)) == [4, 6]
    assert bench.page((-1, 9)) == [4, 6]
    assert bench.page((0, 5)) == [6]
    assert bench.page((5, 6)) == []


def test_only_queued_tasks_are_paged(bench: Bench) -> None:
    bench.insert(*(a_task(int(state), state) for state in State))
    assert bench.page(FIRST) == [int(State.QUEUED)]


def test_a_page_holds_one_flow_alone(bench: Bench) -> None:
    bench.insert(*(a_task(seq, flow=seq % 3, priority=seq % 2) for seq in range(1, 13)))
    pages = bench.storage.find(Wants(pages=[page_wanted(flow=flow) for flow in (0, 1, 2, 3)])).pages
    assert [seqs(page.tasks) for page in pages] == [[3, 9, 6, 12], [1, 7, 4, 10], [5, 11, 2, 8], []]


@pytest.mark.parametrize(("limit", "shown", "more"), [(3, 3, True), (4, 4, False), (9, 4, False)])
def test_a_page_says_whether_more_follow(bench: Bench, limit: int, shown: int, more: bool) -> None:
    bench.insert(*(a_task(seq, priority=seq % 2) for seq in range(1, 5)))
    page = bench.storage.find(Wants(pages=[page_wanted(limit=limit)])).pages[0]
    assert (len(page.tasks), page.more) == (shown, more)


def test_a_page_ends_when_it_is_heavy_but_shows_one_at_least(bench: Bench) -> None:
    bench.insert(*(a_task(seq, payload=b"p" * 40, checkpoint=b"c" * 10) for seq in range(1, 6)))
    bench.insert(*(a_task(seq, State.SCHEDULED, ready_ms=1, payload=b"p" * 50) for seq in (8, 9)))
    weight = 50 + TASK_BYTES
    for bytes_max, shown in ((1, 1), (2 * weight - 1, 1), (2 * weight, 2), (5 * weight, 5)):
        schedule = SchedulePageWanted((0, 0), 9, min(bytes_max, weight))
        wants = Wants(pages=[page_wanted(limit=9, bytes_max=bytes_max)], schedule_page=schedule)
        found = bench.storage.find(wants)
        assert (len(found.pages[0].tasks), found.pages[0].more) == (shown, shown < 5)
        assert found.schedule_page is not None
        assert (seqs(found.schedule_page.tasks), found.schedule_page.more) == ([8], True)


def test_a_page_shows_what_a_ticket_needs(bench: Bench) -> None:
    task = a_task(1, payload=b"p", checkpoint=b"c", attempt=3)
    bench.insert(task)
    found = bench.storage.find(Wants(pages=[page_wanted()]))
    assert plain_all(found.pages[0].tasks) == [plain(task)]
    assert not found.pages[0].more


def test_pages_and_searches_are_answered_in_the_order_asked(bench: Bench) -> None:
    bench.insert(a_task(1, type="a"), a_task(2, type="b"))
    types = ["b", "none", "a", "b"]
    found = bench.storage.find(
        Wants(
            pages=[page_wanted(type_) for type_ in types],
            searches=[Search(Filter(type=type_), 5) for type_ in types],
        )
    )
    assert [seqs(page.tasks) for page in found.pages] == [[2], [], [1], [2]]
    assert [seqs(search) for search in found.searches] == [[2], [], [1], [2]]


def test_the_schedule_is_paged_by_time_then_age_strictly_after(bench: Bench) -> None:
    chance = random.Random(2)
    tasks = [
        a_task(seq, State.SCHEDULED, ready_ms=chance.choice([10, 20, 30])) for seq in range(1, 21)
    ]
    bench.insert(*tasks, a_task(30, ready_ms=5), a_task(31, State.RUNNING, ready_ms=5))
    ordered = sorted(tasks, key=lambda task: (task.ready_ms, task.seq))
    after, more = (0, 0), True
    seen: list[Task] = []
    while more:
        wanted = SchedulePageWanted(after, 3, 10_000)
        page = bench.storage.find(Wants(schedule_page=wanted)).schedule_page
        assert page is not None
        assert len(page.tasks) == 3 or not page.more
        seen += page.tasks
        after, more = (seen[-1].ready_ms, seen[-1].seq), page.more
    assert plain_all(seen) == plain_all(ordered)


def filters() -> list[Filter]:
    """Every shape of filter."""
    states: list[tuple[State, ...]] = [
        (),
        (State.QUEUED,),
        (State.SCHEDULED, State.QUEUED),
        (State.QUEUED, State.RUNNING),
        (State.SCHEDULED, State.QUEUED, State.RUNNING),
        (State.RUNNING,),
        (State.SUCCEEDED,),
        (State.FAILED,),
        (State.CANCELLED, State.FAILED),
        (State.FAILED, State.FAILED, State.QUEUED),
        (State.RUNNING, State.SUCCEEDED),
        tuple(State),
    ]
    return [
        Filter(queue=queue, type=type_, owner=owner, states=chosen)
        for queue in ("", "a", "none")
        for type_ in ("", "t")
        for owner in ("", "me")
        for chosen in states
    ]


def a_mixed_store() -> list[Task]:
    """Tasks of all states, two queues, types and owners."""
    chance = random.Random(3)
    return [
        a_task(
            seq,
            chance.choice(list(State)),
            queue=chance.choice(["a", "b"]),
            type=chance.choice(["t", "u"]),
            owner=chance.choice(["me", "you"]),
            priority=chance.randint(-3, 3),
        )
        for seq in chance.sample(range(1, 400), 200)
    ]


def test_a_search_finds_what_its_filter_matches_oldest_first(bench: Bench) -> None:
    tasks = sorted(a_mixed_store(), key=lambda task: task.seq)
    bench.insert(*tasks)
    for filter in filters():
        matching = [task.seq for task in tasks if filter.matches(task)]
        assert bench.search(filter, limit=500) == matching, filter
        assert bench.search(filter, limit=5) == matching[:5], filter
        earlier = [seq for seq in matching if seq < 200]
        assert bench.search(filter, limit=500, before_seq=200) == earlier, filter


def test_a_search_shows_tasks_whole(bench: Bench) -> None:
    task = ended(1, 1, State.FAILED, payload=b"p", result=b"r", checkpoint=b"c")
    bench.insert(task)
    for states in ((), (State.FAILED,)):
        found = bench.storage.find(Wants(searches=[Search(Filter(states=states), 5)]))
        assert plain_all(found.searches[0]) == [plain(task)]


def test_a_search_walks_every_queue_in_which_tasks_wait(bench: Bench) -> None:
    bench.insert(*(a_task(seq, queue=f"q{seq % 7}") for seq in range(1, 50)))
    assert bench.search(Filter(states=(State.QUEUED,)), limit=10) == list(range(1, 11))
