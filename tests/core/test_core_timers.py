"""Moments come in order, never early, and do not pile up."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from world import World, spec, success

from pullwork_master.core.timers import LeaseDue, SessionDue, SweepDue, Timers


@settings(deadline=None)
@given(st.lists(st.integers(0, 100)), st.lists(st.integers(0, 120)))
def test_moments_come_in_order_and_none_comes_early(at: list[int], looks: list[int]) -> None:
    timers = Timers()
    for number, at_ms in enumerate(at):
        timers.add(at_ms, LeaseDue(number, at_ms))
    came = []
    for now_ms in sorted(looks):
        while (due := timers.pop(now_ms)) is not None:
            assert isinstance(due, LeaseDue)
            assert due.attempt <= now_ms
            came.append((due.attempt, due.seq))
        assert timers.next_ms() is None or timers.next_ms() > now_ms  # type: ignore[operator]
    assert came == sorted(came), "those of one moment come in the order of their asking"
    assert len(came) + len(timers) == len(at)


def test_different_kinds_may_share_a_moment() -> None:
    timers = Timers()
    for due in (SweepDue(), SessionDue("s"), LeaseDue(1, 1)):
        timers.add(5, due)
    assert [timers.pop(5) for _ in range(4)] == [SweepDue(), SessionDue("s"), LeaseDue(1, 1), None]


def test_a_worker_that_comes_and_goes_does_not_fill_the_heap_of_moments(world: World) -> None:
    worker = world.join("w1")
    for _ in range(300):
        world.break_stream(worker)
        world.open_stream(worker)
        world.pass_time(300)
    assert world.alive(worker)
    assert len(world.core.book.timers) < 20


def test_attempts_that_ended_do_not_wait_for_their_timeouts_in_memory(world: World) -> None:
    worker = world.join("w1")
    for number in range(1, 200):
        world.submit(spec(number, execution_timeout_ms=3_600_000))
        world.request(worker, 1)
        world.report(worker, success(worker.token))
        world.heartbeat(worker)
        world.pass_time(100)
    # Ten seconds of attempts, and not all of twenty.
    assert len(world.core.book.timers) < 120
