"""How many there are: as many as are wanted, and each under an id of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scenery import (
    LONG_AGO,
    NOW,
    ended,
    fresh,
    instance,
    instances,
    is_empty,
    node,
    nodes,
    placed,
    plan,
    remnant,
    service,
    stopped,
)

from pullwork_master.reconciler.model import Phase, Rolling, Rollout
from pullwork_master.reconciler.turn import STARTS_MAX


def test_a_new_service_gets_its_instances() -> None:
    made = plan(fresh(3))
    assert [start.id for start in made.starts] == ["web-1", "web-2", "web-3"]
    assert placed(made) == ["n1", "n2", "n3"]
    assert {(start.version, start.template) for start in made.starts} == {(1, b"1")}
    assert not made.stops


def test_a_world_at_rest_gets_an_empty_plan() -> None:
    made = plan(service(3), instances=instances("n1", "n2", "n3"))
    assert is_empty(made)
    assert not made.next_ms


def test_the_lowest_free_number_is_taken_but_never_one_that_is_still_in_use() -> None:
    made = plan(
        service(6),
        instances=[instance("web-2", "n1"), instance("web-4", "n2")],
        remnants=[remnant("web-1", "n3")],
        ended=[ended(instance("web-5", "n3"))],
    )
    # web-5 starts again as itself.
    assert sorted(start.id for start in made.starts) == ["web-3", "web-5", "web-6", "web-7"]


def test_a_stopped_instances_number_is_free_only_when_nothing_is_left_of_it() -> None:
    stuck = instances("n1", "n2", "n3")
    lost = plan(
        service(3),
        instances=stuck,
        nodes=[*nodes(2), node("n3", gone_since_ms=NOW - 60_000)],
    )
    assert stopped(lost) == ["web-3"]
    assert [start.id for start in lost.starts] == ["web-4"]


def test_scaling_down_ends_those_first_that_are_not_well() -> None:
    made = plan(
        service(2),
        instances=[
            instance("web-1", "n1"),
            instance("web-2", "n1", Phase.UNHEALTHY),
            instance("web-3", "n2", Phase.STARTING),
            instance("web-4", "n3"),
        ],
    )
    assert sorted(stopped(made)) == ["web-2", "web-3"]


def test_scaling_down_ends_the_youngest_on_the_fullest_node() -> None:
    made = plan(
        service(3),
        instances=[
            instance("web-1", "n1", created_ms=LONG_AGO + 9),
            instance("web-2", "n2", created_ms=LONG_AGO + 1),
            instance("web-3", "n2", created_ms=LONG_AGO + 3),
            instance("web-4", "n2", created_ms=LONG_AGO + 2),
            instance("web-5", "n3", created_ms=LONG_AGO + 8),
        ],
    )
    assert stopped(made) == ["web-3", "web-4"]


def test_scaling_down_leaves_an_even_spread() -> None:
    made = plan(service(3), instances=instances(*("n1", "n2", "n3") * 3))
    left = set(range(1, 10)) - {int(id.removeprefix("web-")) for id in stopped(made)}
    # The numbers of one node are those of one remainder.
    assert {number % 3 for number in left} == {0, 1, 2}
    assert len(left) == 3


def test_scaled_to_nothing_all_end_and_the_service_stays() -> None:
    made = plan(service(0), instances=instances("n1", "n2"), ended=[ended(instance("web-3", "n1"))])
    assert sorted(stopped(made)) == ["web-1", "web-2"]
    assert made.done == ["task of web-3"]
    assert not made.starts


def test_what_is_of_no_service_ends() -> None:
    made = plan(instances=instances("n1", "n2", of="old"), ended=[ended(instance("old-3", "n1"))])
    assert stopped(made) == ["old-1", "old-2"]
    assert made.done == ["task of old-3"]


def test_of_two_with_one_id_the_one_that_is_well_stays() -> None:
    made = plan(
        service(2),
        instances=[
            instance("web-1", "n1", Phase.STARTING, task_id="first"),
            instance("web-1", "n2", task_id="second"),
            instance("web-2", "n3"),
        ],
    )
    assert stopped(made) == ["first"]
    assert not made.starts


def test_one_plan_starts_so_many_and_the_next_goes_on_at_once() -> None:
    made = plan(fresh(STARTS_MAX + 1))
    assert len(made.starts) == STARTS_MAX
    assert made.next_ms == NOW + 1
    assert not made.lacks


def test_instances_of_several_services_of_one_start_do_not_crowd_on_one_node() -> None:
    made = plan(*(fresh(1, name) for name in ("a", "b", "c")))
    assert sorted(placed(made)) == ["n1", "n2", "n3"]


@pytest.mark.parametrize("state", [Rolling.ROLLING, Rolling.DONE, Rolling.PAUSED])
def test_before_all_nodes_are_heard_nothing_ends_but_what_is_missing_starts(state: Rolling) -> None:
    """After a restart of the master: what it was not told of yet may be as well as ever."""
    before = replace(service(2), rollout=Rollout(state, LONG_AGO, 1))
    unheard = node("n3", gone_since_ms=LONG_AGO)
    too_many = plan(
        before,
        settled=False,
        nodes=[*nodes(2), unheard],
        instances=instances("n1", "n2", "n3", phase=Phase.PENDING),
    )
    assert is_empty(too_many)
    too_few = plan(
        before,
        settled=False,
        nodes=[*nodes(1), unheard],
        instances=[instance("web-2", "n3", Phase.PENDING)],
    )
    assert placed(too_few) == ["n1"]
    assert not too_few.stops
    deleted = plan(settled=False, instances=instances("n1"))
    assert stopped(deleted) == ["web-1"]


def test_an_end_that_was_followed_already_is_not_followed_again() -> None:
    """The loop may die between the start and its note that the end is done."""
    again = instance("web-1", "n1", Phase.PENDING, restarts=1)
    made = plan(service(1), instances=[again], ended=[ended(instance("web-1", "n1", task_id="x"))])
    assert made.done == ["x"]
    assert not made.starts
