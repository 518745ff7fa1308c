"""What becomes of instances whose node is away, drains, or has joined."""

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
    reasons,
    service,
    stopped,
)

from pullwork_master.reconciler.model import Phase
from pullwork_master.reconciler.reconcile import MOVES_MAX
from pullwork_master.reconciler.relief import JOINED_FOR_MS

THREE = instances("n1", "n2", "n3")
TWO_ON_N1 = instances("n1", "n1", "n2", "n2")


def gone(name: str, ago_ms: int) -> object:
    return node(name, gone_since_ms=NOW - ago_ms)


# --- a node that can't be reached -------------------------------------------------------


def test_before_its_time_is_over_nothing_is_replaced_and_the_moment_is_known() -> None:
    made = plan(service(3), nodes=[*nodes(2), gone("n3", 20_000)], instances=THREE)
    assert is_empty(made)
    assert made.next_ms == NOW + 10_000


def test_after_its_time_its_instances_are_replaced_in_one_plan() -> None:
    made = plan(service(3), nodes=[*nodes(2), gone("n3", 30_000)], instances=THREE)
    assert stopped(made) == ["web-3"]
    assert placed(made) == ["n1"]
    assert not made.lacks


def test_a_node_that_nobody_knows_is_away_for_ever() -> None:
    assert stopped(plan(service(3), nodes=nodes(2), instances=THREE)) == ["web-3"]


def test_whoever_waits_for_a_node_waits_however_long_it_takes() -> None:
    waits = service(3, replace_after_ms=None)
    made = plan(waits, nodes=[*nodes(2), gone("n3", 10**8)], instances=THREE)
    assert is_empty(made)
    assert not made.next_ms


def test_where_there_is_no_other_place_nothing_is_gained_by_an_end() -> None:
    full = nodes(2, instances_max=1)
    made = plan(service(3), nodes=[*full, gone("n3", 60_000)], instances=THREE)
    assert not made.stops
    assert not made.starts
    assert reasons(made) == ["2 nodes, none takes any more instances; 1 node can't be reached"]
    assert made.lacks[0].missing == 1


def test_if_fewer_are_wanted_those_that_nobody_can_reach_end_first() -> None:
    for ago_ms in (1_000, 60_000):
        away = [*nodes(2), gone("n1", ago_ms)]
        made = plan(service(2), nodes=[away[1], away[2], node("n3")], instances=THREE)
        assert stopped(made) == ["web-1"]
        assert not made.starts


# --- a node that drains -----------------------------------------------------------------

DRAINS = (node("n1", draining=True), node("n2"), node("n3"))


def test_the_replacement_comes_before_the_end() -> None:
    first = plan(service(3), nodes=DRAINS, instances=THREE)
    assert placed(first) == ["n2"]
    assert not first.stops
    new = instance("web-4", "n2", Phase.STARTING)
    assert is_empty(plan(service(3), nodes=DRAINS, instances=[*THREE, new]))
    hardly = replace(new, phase=Phase.HEALTHY, healthy_ms=NOW - 1_999)
    waits = plan(service(3), nodes=DRAINS, instances=[*THREE, hardly])
    assert is_empty(waits)
    assert waits.next_ms == NOW + 1
    ready = replace(hardly, healthy_ms=NOW - 2_000)
    last = plan(service(3), nodes=DRAINS, instances=[*THREE, ready])
    assert stopped(last) == ["web-1"]
    assert not last.starts


def test_a_drained_nodes_well_ones_move_one_at_a_time() -> None:
    four = instances("n1", "n1", "n1", "n2")
    assert len(plan(service(4), nodes=DRAINS, instances=four).starts) == 1


def test_one_that_is_not_well_leaves_at_once_and_its_waits_go_with_it() -> None:
    loops = instance(
        "web-1", "n1", Phase.FAILED, quick_restarts=4, restarts=6, not_before_ms=NOW + 4_000
    )
    made = plan(service(3), nodes=DRAINS, instances=[loops, *THREE[1:]])
    assert stopped(made) == ["web-1"]
    start = made.starts[0]
    assert (start.id, start.node) == ("web-4", "n2")
    assert (start.quick_restarts, start.restarts, start.not_before_ms) == (4, 6, NOW + 4_000)


def test_with_no_other_place_nothing_ends_and_it_is_said() -> None:
    full = [DRAINS[0], *nodes(3, instances_max=1)[1:]]
    made = plan(service(3), nodes=full, instances=THREE)
    assert not made.stops
    assert not made.starts
    assert reasons(made) == ["1 is to leave n1: 3 nodes: 1 drains, 2 take no more instances"]
    assert made.lacks[0].missing == 0


def test_a_well_one_waits_while_another_of_the_service_is_not() -> None:
    sick = instance("web-2", "n2", Phase.UNHEALTHY)
    made = plan(service(3), nodes=DRAINS, instances=[THREE[0], sick, THREE[2]])
    assert not made.starts
    assert reasons(made) == ["1 is to leave n1: waiting until web-2 is well"]


def test_a_constraint_that_a_node_does_not_meet_any_more_moves_its_instances() -> None:
    zoned = service(3, constraints=(("zone", "a"),))
    zones = [node("n1", labels=(("zone", "b"),)), *nodes(3, labels=(("zone", "a"),))[1:]]
    assert placed(plan(zoned, nodes=zones, instances=THREE)) == ["n2"]


# --- a node that joins ------------------------------------------------------------------


def test_a_node_that_joined_relieves_the_fullest_one_instance_at_a_time() -> None:
    first = plan(service(4), instances=TWO_ON_N1)
    assert placed(first) == ["n3"]
    assert not first.stops
    starting = instance("web-5", "n3", Phase.STARTING)
    assert is_empty(plan(service(4), instances=[*TWO_ON_N1, starting]))
    ready = instance("web-5", "n3")
    last = plan(service(4), instances=[*TWO_ON_N1, ready])
    assert stopped(last) == ["web-4"]
    left = [*TWO_ON_N1[:3], ready]
    assert is_empty(plan(service(4), instances=left))


def test_what_relieves_a_node_and_fails_there_waits_there_and_is_not_made_anew() -> None:
    fails = ended(instance("web-5", "n3", quick_restarts=2))
    made = plan(service(4), instances=TWO_ON_N1, ended=[fails])
    assert [(start.id, start.node) for start in made.starts] == [("web-5", "n3")]
    assert made.starts[0].not_before_ms == NOW + 2_000
    assert not made.stops


def test_a_node_that_has_just_joined_is_left_alone_for_a_while() -> None:
    new = [*nodes(2), node("n3", joined_ms=NOW - JOINED_FOR_MS + 1)]
    made = plan(service(4), nodes=new, instances=TWO_ON_N1)
    assert is_empty(made)
    assert made.next_ms == NOW + 1


def test_a_busy_node_relieves_nobody() -> None:
    busy = [*nodes(2), node("n3", cpu=0.6)]
    assert is_empty(plan(service(4), nodes=busy, instances=TWO_ON_N1))


def test_a_difference_of_one_moves_nothing() -> None:
    assert is_empty(plan(service(4), instances=instances("n1", "n1", "n2", "n3")))
    assert is_empty(plan(service(1), instances=instances("n1")))


@pytest.mark.parametrize(
    "unwell",
    [
        instance("web-1", "n1", Phase.UNHEALTHY),
        instance("web-1", "n1", Phase.STARTING),
        instance("web-1", "n1", healthy_ms=NOW),
        instance("web-1", "n4"),
    ],
    ids=["unhealthy", "starting", "new", "out of reach"],
)
def test_nothing_moves_while_anything_is_not_well(unwell: object) -> None:
    away = [*nodes(3), gone("n4", 1_000)]
    made = plan(service(4), nodes=away, instances=[unwell, *TWO_ON_N1[1:]])
    assert is_empty(made)


def test_only_so_many_services_are_moved_at_once() -> None:
    names = [f"s{each}" for each in range(MOVES_MAX + 2)]
    services = [service(2, name) for name in names]
    there = [it for name in names for it in instances("n1", "n1", of=name)]
    made = plan(*services, nodes=nodes(2), instances=there)
    assert placed(made) == ["n2"] * MOVES_MAX
    moving = [instance("s0-3", "n2", Phase.STARTING), instance("s1-3", "n2", Phase.STARTING)]
    assert is_empty(plan(*services, nodes=nodes(2), instances=[*there, *moving]))


def test_relief_keeps_the_values_of_a_label_even_before_the_nodes() -> None:
    zones = [
        node("n1", labels=(("zone", "a"),)),
        node("n2", labels=(("zone", "a"),)),
        node("n3", labels=(("zone", "b"),)),
    ]
    spread = service(4, spread_by="zone")
    uneven = plan(spread, nodes=zones, instances=instances("n1", "n1", "n2", "n3"))
    assert placed(uneven) == ["n3"]
    within = plan(spread, nodes=zones, instances=instances("n1", "n1", "n3", "n3"))
    assert placed(within) == ["n2"]
    even = plan(spread, nodes=zones, instances=instances("n1", "n2", "n3", "n3"))
    assert is_empty(even)


def test_the_first_start_of_a_service_is_no_move() -> None:
    young = [replace(each, healthy_ms=0, created_ms=LONG_AGO) for each in TWO_ON_N1]
    assert not plan(fresh(4), instances=young).starts
