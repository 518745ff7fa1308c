"""How an instance that ended by itself starts again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenery import (
    BOTH,
    LONG_AGO,
    NOW,
    ended,
    fresh,
    instance,
    instances,
    is_empty,
    node,
    nodes,
    plan,
    reasons,
    service,
)

from pullwork_master.reconciler.model import Instance, Plan, Restart, Runner, Start
from pullwork_master.reconciler.restarts import next_start

ONE = instance("web-1", "n1")


def follow(
    of: Instance = ONE, *, ran_ms: int = 5_000, code: int | None = 1, **more: object
) -> Start:
    made = plan(service(1, restart=Restart(1_000, 60_000, 60_000)), ended=[
        ended(of, ran_ms=ran_ms, code=code, **more)
    ])  # fmt: skip
    assert made.done == [of.task_id]
    return made.starts[0]


def test_it_starts_again_where_it_was_under_its_id_and_tells_how_it_ended() -> None:
    start = follow()
    assert (start.id, start.node, start.restarts) == ("web-1", "n1", 1)
    assert start.last_exit is not None
    assert start.last_exit.reason == "exited"


@pytest.mark.parametrize("code", [0, 1, 137, None])
def test_whatever_its_exit_code_it_starts_again(code: int | None) -> None:
    assert follow(code=code).restarts == 1


def test_the_first_time_at_once_then_twice_as_late_each_time_up_to_a_bound() -> None:
    waits = []
    for quick in range(9):
        start = follow(quick_restarts=quick, restarts=quick)
        waits.append(start.not_before_ms - NOW if start.not_before_ms else 0)
        assert start.quick_restarts == quick + 1
    assert waits == [0, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]


def test_after_it_ran_for_long_it_starts_at_once_again() -> None:
    start = follow(quick_restarts=7, restarts=20, ran_ms=60_000)
    assert (start.not_before_ms, start.quick_restarts, start.restarts) == (0, 0, 21)


def test_a_node_whose_clock_is_wrong_gains_nothing_by_it() -> None:
    for wrong_ms in (-3_600_000, 3_600_000):
        end = ended(replace(ONE, quick_restarts=2))
        exit = end.exit._replace(
            ended_ms=end.exit.ended_ms + wrong_ms, started_ms=end.exit.started_ms + wrong_ms
        )
        assert next_start(replace(end, exit=exit), Restart(), NOW).not_before_ms == NOW + 2_000


def test_one_that_could_not_be_started_waits_like_one_that_ended() -> None:
    start = follow(quick_restarts=2, ran_ms=0, code=None)
    assert start.not_before_ms == NOW + 2_000


@settings(deadline=None)
@given(
    quick=st.integers(0, 10_000),
    initial=st.integers(10, 3_600_000),
    longest=st.integers(10, 86_400_000),
    late=st.integers(-5_000, 10**9),
)
def test_no_wait_is_longer_than_the_longest(
    quick: int, initial: int, longest: int, late: int
) -> None:
    end = ended(replace(ONE, quick_restarts=quick))
    start = next_start(end, Restart(initial, longest), NOW + late)
    assert start.not_before_ms <= NOW + late + longest


def test_where_its_node_does_not_suit_any_more_it_starts_elsewhere() -> None:
    away = (
        node("n1", draining=True),
        node("n1", gone_since_ms=NOW),
        node("n1", runners=BOTH - {Runner.CONTAINER}),
    )
    for home in away:
        made = plan(service(1), nodes=[home, node("n2")], ended=[ended(ONE)])
        assert [(start.id, start.node) for start in made.starts] == [("web-1", "n2")]


def test_without_any_place_it_waits_and_nothing_is_forgotten() -> None:
    home = node("n1", draining=True)
    made = plan(service(1), nodes=[home], ended=[ended(ONE)])
    assert not made.starts
    assert not made.done
    assert reasons(made) == ["1 node, and it drains"]
    assert made.lacks[0].missing == 1


def test_it_needs_no_more_room_than_it_had() -> None:
    """Its own place, and what its node still has of it, do not stand in its way."""
    full = [node("n1", instances_max=1, memory_bytes=100)]
    made = plan(
        service(1, memory_bytes=100, host_ports=(80,)),
        nodes=full,
        ended=[ended(ONE)],
        room={"task of web-1": (0.0, 100)},
        host_ports={"task of web-1": (80,)},
    )
    assert [start.node for start in made.starts] == ["n1"]


def test_after_a_few_quick_ends_on_a_node_another_is_tried() -> None:
    def where(quick: int, count: int = 3) -> list[str]:
        made = plan(fresh(1), nodes=nodes(count), ended=[ended(ONE, quick_restarts=quick)])
        return [start.node for start in made.starts]

    assert where(0) == where(1) == ["n1"]
    assert where(2) == ["n2"]
    assert where(3) == ["n1"]
    assert where(2, count=1) == ["n1"]


def test_one_that_nobody_wants_any_more_is_only_forgotten() -> None:
    two = instances("n1", "n2")
    made = plan(service(2), instances=two, ended=[ended(instance("web-3", "n3"))])
    assert made.done == ["task of web-3"]
    assert not made.starts
    assert not made.stops


def test_one_that_waits_for_its_next_start_is_there() -> None:
    waiting = replace(ONE, not_before_ms=NOW + 9_000, healthy_ms=0, created_ms=LONG_AGO)
    assert is_empty(plan(service(1), instances=[waiting]))


def crowd(made: Plan) -> list[str]:
    return sorted(start.node for start in made.starts)


def test_those_that_start_again_in_place_count_for_the_spread_of_new_ones() -> None:
    made = plan(fresh(3), ended=[ended(instance("web-1", "n1")), ended(instance("web-2", "n2"))])
    assert crowd(made) == ["n1", "n2", "n3"]
