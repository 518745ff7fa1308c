"""A queue's limits hold tasks back, no more of them than they say, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from world import POLICY, Worker, World, failure, refused, released, spec, success

from pullwork_master.core import commands as c
from pullwork_master.core import gates
from pullwork_master.core.effects import Available
from pullwork_master.core.explain import Explanation, Why
from pullwork_master.core.gates import next_token_ms, tokens
from pullwork_master.core.model import Limits, Queue, Retry
from pullwork_master.core.ready import Line
from pullwork_master.core.rejections import Reason


def limit(world: World, queue: str = "default", *, clear: bool = True, **limits: Any) -> None:
    """Sets limits, and takes all others away."""
    assert isinstance(world.ask(c.SetLimits(queue, limits, clear)), Queue)


def keyed(number: int, key: str, **more: Any) -> Any:
    return spec(number, limit_key=key, flow=1 + len(key), **more)


def held(worker: Worker) -> list[int]:
    """Returns the numbers of the tasks that a worker holds."""
    return sorted(int(grant.spec.id[-12:]) for grant in worker.held.values())


def token_of(worker: Worker, number: int) -> str:
    return next(t for t, grant in worker.held.items() if grant.spec.id == spec(number).id)


def read_all(world: World) -> None:
    """Has all pages read that are wanted."""
    for _ in range(1_000):
        if not world.core.hungry():
            return
        world.step([])
    pytest.fail("pages are wanted for ever")


def why(world: World, number: int) -> Explanation:
    answer = world.ask(c.Explain(spec(number).id))
    assert isinstance(answer, Explanation)
    return answer


def test_no_more_run_at_once_than_a_queue_allows(world: World) -> None:
    limit(world, concurrency=2)
    world.submit(*map(spec, range(1, 6)))
    first, second = world.join("w1", slots=5), world.join("w2", slots=5)
    world.request(first, 5)
    world.request(second, 5)
    assert (held(first), held(second)) == ([1, 2], [])


@pytest.mark.parametrize("end", ["success", "failure", "released", "death", "cancel", "timeout"])
def test_a_slot_of_a_limit_goes_at_once_to_who_waits_for_it(world: World, end: str) -> None:
    limit(world, concurrency=1)
    world.submit(spec(1, execution_timeout_ms=500, retry=Retry(2, 60_000, 60_000, 2.0)))
    worker, waiting = world.join("w1"), world.join("w2")
    world.request(worker, 1)
    world.submit(spec(2, priority=9))
    assert world.request(waiting, 1, wait_ms=60_000) is None
    if end == "death":
        world.ask(c.Evict(worker.session))
    elif end == "cancel":
        world.cancel(spec(1).id)
    elif end == "timeout":
        world.pass_time(500 + POLICY.overrun_ms)
    else:
        make = {"success": success, "failure": failure, "released": released}[end]
        world.report(worker, make(worker.token))
    assert held(waiting) == [2]


def test_a_slot_that_a_leaving_worker_frees_goes_to_who_waits_for_it(world: World) -> None:
    limit(world, concurrency=1)
    world.submit(spec(1), spec(2))
    leaving, waiting = world.join("w1"), world.join("w2")
    world.request(leaving, 1)
    world.ask(c.Drain("w1"))
    assert world.request(waiting, 1, wait_ms=60_000) is None
    world.report(leaving, success(leaving.token))
    assert held(waiting) == [2]


def test_what_runs_is_counted_again_after_a_restart(world: World) -> None:
    limit(world, concurrency=1, concurrency_per_key=1)
    world.submit(keyed(1, "k"), keyed(2, "k"), spec(3))
    worker = world.join("w1")
    world.request(worker, 1)
    world.restart()
    world.register(worker)
    world.request(worker, 2, wait_ms=60_000)
    world.pass_time(100)
    assert held(worker) == [1]
    world.report(worker, success(worker.token))
    world.pass_time(100)
    assert len(worker.held) == 1


def test_a_key_at_its_limit_holds_nobody_else_back(world: World) -> None:
    limit(world, concurrency_per_key=1)
    world.submit(*(keyed(number, "k", priority=5) for number in range(1, 5)))
    world.submit(keyed(5, "other"), spec(6), spec(7))
    worker = world.join("w1", slots=10)
    world.request(worker, 10)
    assert held(worker) == [1, 5, 6, 7]
    world.report(worker, success(token_of(worker, 1)), tasks=5)
    assert held(worker) == [2, 5, 6, 7]


def test_two_keys_of_one_flow_pass_each_other_while_both_are_in_memory(world: World) -> None:
    limit(world, concurrency_per_key=1)
    world.submit(*(spec(number, limit_key="a" if number < 4 else "b") for number in range(1, 6)))
    worker = world.join("w1", slots=10)
    world.request(worker, 10)
    assert held(worker) == [1, 4]


def test_a_rate_starts_so_many_and_then_one_a_token_later(world: World) -> None:
    limit(world, rate=2.0, burst=3)
    world.submit(*map(spec, range(1, 9)))
    worker = world.join("w1", slots=20)
    world.request(worker, 9)
    assert held(worker) == [1, 2, 3]
    world.request(worker, 9, wait_ms=60_000)
    world.pass_time(499)
    assert held(worker) == [1, 2, 3]
    world.pass_time(1)
    assert held(worker) == [1, 2, 3, 4]


def test_a_rate_of_a_key_is_its_own(world: World) -> None:
    limit(world, rate_per_key=1.0)
    world.submit(keyed(1, "k"), keyed(2, "k"), keyed(3, "other"), keyed(4, "other"), spec(5))
    worker = world.join("w1", slots=20)
    world.request(worker, 9)
    assert held(worker) == [1, 3, 5]
    world.request(worker, 9, wait_ms=60_000)
    world.pass_time(1_000)
    assert held(worker) == [1, 2, 3, 4, 5]


def test_over_time_a_rate_is_met_and_not_exceeded(world: World) -> None:
    limit(world, rate=10.0, burst=1)
    world.submit(*map(spec, range(1, 200)))
    worker = world.join("w1", slots=300)
    for _ in range(100):
        if not any(session == worker.session for _, session, _ in world.pending.values()):
            world.request(worker, 3, wait_ms=60_000)
        world.pass_time(100)
    assert 98 <= len(worker.held) <= 102


def test_an_idle_worker_is_told_when_a_token_comes_and_not_before(world: World) -> None:
    limit(world, rate=1.0)
    world.submit(*map(spec, range(1, 5)))
    worker = world.join("w1", slots=1, look_ahead_max=0)
    world.request(worker, 1)
    world.report(worker, success(worker.token))
    world.news.clear()
    world.request(worker, 1)
    world.pass_time(999)
    assert world.news_of(worker, Available) == []
    assert world.core.dispatch.available(world.session(worker)) == ()
    world.pass_time(1)
    assert world.news_of(worker, Available) == [Available(("a",))]


def test_no_more_idle_workers_are_told_than_a_limit_lets_start(world: World) -> None:
    limit(world, concurrency=1)
    workers = [world.join(f"w{number}") for number in range(5)]
    world.submit(*map(spec, range(1, 5)))
    assert sum(len(world.news_of(worker, Available)) for worker in workers) == 1


def test_who_is_told_first_takes_the_token_and_the_other_is_told_of_the_next(world: World) -> None:
    limit(world, rate=1.0)
    first, second = world.join("w1"), world.join("w2")
    world.submit(*map(spec, range(1, 4)))
    world.request(first, 1)
    world.news.clear()
    world.pass_time(1_000)
    assert world.news_of(second, Available) == [Available(("a",))]


def test_what_is_set_aside_leaves_no_busy_loop(world: World) -> None:
    limit(world, concurrency_per_key=1)
    world.submit(*(keyed(number, "k") for number in range(1, 40)))
    worker = world.join("w1", slots=10)
    world.request(worker, 10, wait_ms=60_000)
    world.request(worker, 10, wait_ms=60_000)
    for _ in range(20):
        world.step([])
    assert held(worker) == [1]
    assert not world.core.hungry()
    assert len(world.core.book.tasks) <= 4 * POLICY.window_tasks
    for number in range(2, 40):
        world.report(worker, success(worker.token))
        world.step([])
        if not worker.held:
            world.request(worker, 9, wait_ms=60_000)
            world.step([])
        assert held(worker) == [number]
    assert len(world.core.book.tasks) <= 4 * POLICY.window_tasks


def test_a_limit_that_is_lifted_lets_all_go(world: World) -> None:
    limit(world, concurrency_per_key=1, rate=0.001)
    world.submit(*(keyed(number, "k") for number in range(1, 4)))
    worker = world.join("w1", slots=10)
    world.request(worker, 10)
    world.request(worker, 10, wait_ms=60_000)
    assert held(worker) == [1]
    limit(world)
    assert held(worker) == [1, 2, 3]


def test_a_limit_that_is_not_named_stays(world: World) -> None:
    limit(world, concurrency=3, rate=5.0, burst=7)
    limit(world, clear=False, rate=1.0, weight=2)
    limits = world.core.book.queues["default"].limits
    assert limits == Limits(concurrency=3, rate=1.0, burst=7, weight=2)
    limit(world, clear=False, rate=0.0)
    assert world.core.book.queues["default"].limits == Limits(concurrency=3, weight=2)


@pytest.mark.parametrize("suffix", ["", "_per_key"])
def test_a_burst_without_a_rate_is_refused_and_changes_nothing(world: World, suffix: str) -> None:
    changes = {"concurrency": 1, f"burst{suffix}": 3}
    rejection = refused(world.ask(c.SetLimits("new", changes)), Reason.INVALID_FIELD)
    assert rejection.field == f"limits.burst{suffix}"
    assert f"set limits.rate{suffix}, too" in rejection.message
    assert "new" not in world.core.book.queues


def test_a_rate_that_is_raised_holds_at_once(world: World) -> None:
    limit(world, rate=0.001, rate_per_key=0.001)
    world.submit(*(keyed(number, "k") for number in range(1, 9)))
    worker = world.join("w1", slots=20)
    world.request(worker, 9)
    world.request(worker, 9, wait_ms=60_000)
    limit(world, rate=10.0, burst=1, rate_per_key=10.0, burst_per_key=1)
    assert held(worker) == [1]
    world.pass_time(100)
    assert held(worker) == [1, 2]


def test_keys_whose_buckets_are_full_are_forgotten(world: World) -> None:
    with pytest.MonkeyPatch.context() as fewer:
        fewer.setattr(gates, "PACES_MIN", 10)
        limit(world, queue="mail", rate_per_key=100.0, burst_per_key=1)
        worker = world.join("w1", queues=("mail",))
        for number in range(1, 50):
            world.submit(keyed(number, f"k{number}", queue="mail"))
            world.request(worker, 1)
            world.report(worker, success(worker.token))
            world.pass_time(5)
        assert len(world.core.book.gates["mail"]._key_full_ms) <= 20


def test_lanes_that_come_and_go_leave_nothing_aside(world: World) -> None:
    limit(world, concurrency_per_key=1)
    world.submit(keyed(1, "k"))
    world.request(world.join("w1"), 1)
    world.submit(spec(2, flow=2))
    waiting = world.join("w2", queues=("default",), types=("a",))
    for number in range(3, 30):
        world.submit(keyed(number, "k"))
        world.request(waiting, 1)
        world.cancel(spec(number).id)
    assert world.core.book.gates["default"].aside == {}


def test_a_queue_of_keys_at_their_limits_costs_no_look_at_all_of_them(world: World) -> None:
    limit(world, concurrency_per_key=1)
    keys, numbers = 60, iter(range(1, 10_000))
    for _ in range(16):
        world.submit(*(spec(next(numbers), limit_key=f"k{at}", flow=at) for at in range(keys)))
    worker = world.join("w1", slots=keys)
    world.request(worker, keys)
    for at in range(keys + 2):
        world.request(world.join(f"waits{at}"), 1, wait_ms=600_000)
    read_all(world)
    assert len(worker.held) == keys
    assert len(world.core.book.lines[("default", "a")].shut) > keys / 2
    entered, real = 0, Line._enter

    def enter(*facts: Any) -> None:
        nonlocal entered
        entered += 1
        real(*facts)

    with pytest.MonkeyPatch.context() as counted:
        counted.setattr(Line, "_enter", enter)
        for token in list(worker.held):
            world.report(worker, success(token))
            read_all(world)
    assert entered < 5 * keys


def test_limits_survive_a_restart(world: World) -> None:
    limit(world, queue="new", concurrency=3, rate=0.5, weight=7)
    world.restart()
    limits = world.core.book.queues["new"].limits
    assert limits == Limits(concurrency=3, rate=0.5, weight=7)


def test_a_queue_takes_no_more_than_it_may_keep_waiting(world: World) -> None:
    limit(world, tasks_max=2)
    world.submit(spec(1), spec(2))
    refused(world.submit(spec(3)), Reason.QUEUE_FULL)
    world.submit(spec(4, queue="mail"))


def test_queues_share_a_worker_by_their_weights(world: World) -> None:
    limit(world, weight=3)
    world.submit(*map(spec, range(1, 60)))
    world.submit(*(spec(number, queue="mail") for number in range(60, 120)))
    worker = world.join("w1", slots=40)
    for _ in range(40):
        world.request(worker, 1)
    assert 29 <= sum(number < 60 for number in held(worker)) <= 31


def test_explain_names_the_limit(world: World) -> None:
    worker = world.join("w1", slots=10)
    cases: list[tuple[dict[str, Any], Why, str]] = [
        ({"concurrency": 1}, Why.QUEUE_CONCURRENCY, "at most 1 task at once, and 1 runs"),
        ({"rate": 0.5}, Why.QUEUE_RATE, "30 tasks a minute; the next may start in 2.0 s"),
        (
            {"concurrency_per_key": 1},
            Why.KEY_CONCURRENCY,
            "Limit key 'k' is at its limit in queue 'default': at most 1 task at once, and 1 runs",
        ),
        ({"rate_per_key": 0.5}, Why.KEY_RATE, "the next of 'k' may start in 2.0 s"),
    ]
    for at, (limits, reason, words) in enumerate(cases):
        limit(world, **limits)
        world.submit(keyed(10 * at + 1, "k"), keyed(10 * at + 2, "k"))
        world.request(worker, 2)
        told = why(world, 10 * at + 2)
        assert (told.why, words in told.sentence) == (reason, True), told.sentence
        limit(world)
        world.request(worker, 9)
        world.report(worker, *map(success, worker.held))


@pytest.mark.parametrize("rate", [1 / 3600, 0.3, 1.0, 7.0, 999.9, 1_000_000.0])
@pytest.mark.parametrize("burst", [1, 2, 1_000])
def test_a_bucket_holds_a_token_at_the_moment_it_names_and_not_before(
    rate: float, burst: int
) -> None:
    now_ms = 10**10
    full_ms = now_ms + burst * 1000 / rate
    for _ in range(50):
        opens_ms = next_token_ms(full_ms, rate, burst, now_ms)
        if opens_ms:
            assert opens_ms > now_ms
            assert tokens(full_ms, rate, burst, opens_ms) >= 1
            assert tokens(full_ms, rate, burst, max(now_ms, opens_ms - 5)) == 0 or rate > 100
            now_ms = opens_ms
        full_ms = max(full_ms, now_ms) + 1000 / rate
