"""Where instances go: spread first, then load, and never where there is no room."""

from __future__ import annotations

from collections import Counter

import pytest
from scenery import (
    NOW,
    fresh,
    instance,
    instances,
    node,
    nodes,
    placed,
    plan,
    reasons,
    remnant,
    service,
)

from pullwork_master.reconciler.model import Runner

MIB = 1024 * 1024


def test_six_on_three_idle_nodes_are_two_two_two() -> None:
    assert Counter(placed(plan(fresh(6)))) == {"n1": 2, "n2": 2, "n3": 2}


@pytest.mark.parametrize("busier", [0.1, 0.3, 0.49])
def test_a_small_difference_of_load_never_breaks_an_even_spread(busier: float) -> None:
    busy = [node("n1", cpu=0.2 + busier), node("n2", cpu=0.2), node("n3", cpu=0.2)]
    assert Counter(placed(plan(fresh(6), nodes=busy))) == {"n1": 2, "n2": 2, "n3": 2}


@pytest.mark.parametrize(("busier", "share"), [(0.5, 1), (0.6, 1), (0.74, 1), (0.75, 0), (1.0, 0)])
def test_a_busy_node_gets_fewer_than_its_idle_neighbours(busier: float, share: int) -> None:
    busy = [node("n1", cpu=busier), node("n2"), node("n3")]
    assert Counter(placed(plan(fresh(6), nodes=busy)))["n1"] == share


def test_memory_in_use_counts_like_the_processor() -> None:
    busy = [node("n1", memory=0.9), node("n2", memory=0.1), node("n3", memory=0.1)]
    assert Counter(placed(plan(fresh(6), nodes=busy)))["n1"] < 2


def test_nodes_that_are_all_busy_are_as_good_as_all_idle_ones() -> None:
    busy = [node(name, cpu=0.95) for name in ("n1", "n2", "n3")]
    assert Counter(placed(plan(fresh(6), nodes=busy))) == {"n1": 2, "n2": 2, "n3": 2}


def test_where_the_spread_is_equal_the_least_load_decides() -> None:
    loads = [node("n1", cpu=0.3), node("n2", cpu=0.1), node("n3", cpu=0.2)]
    assert placed(plan(fresh(3), nodes=loads)) == ["n2", "n3", "n1"]


def test_what_was_just_placed_counts_before_it_can_be_measured() -> None:
    loads = [node("n1", cpu=0.1), node("n2", cpu=0.15)]
    made = plan(*(fresh(1, name) for name in "abcd"), nodes=loads)
    assert Counter(placed(made)) == {"n1": 2, "n2": 2}


def test_spread_by_a_label_comes_before_spread_over_nodes() -> None:
    zones = [
        node("n1", labels=(("zone", "a"),)),
        node("n2", labels=(("zone", "a"),)),
        node("n3", labels=(("zone", "b"),)),
    ]
    made = plan(fresh(4, spread_by="zone"), nodes=zones)
    assert Counter(placed(made)) == {"n1": 1, "n2": 1, "n3": 2}


def test_only_a_node_that_may_be_chosen_is_chosen() -> None:
    made = plan(
        fresh(4, constraints=(("disk", "fast"),)),
        nodes=[
            node("n1", labels=(("disk", "fast"),)),
            node("n2", labels=(("disk", "slow"),)),
            node("n3", labels=(("disk", "fast"),), draining=True),
            node("n4", labels=(("disk", "fast"),), gone_since_ms=NOW - 1),
            node("n5", labels=(("disk", "fast"),), runners=frozenset({Runner.PROCESS})),
        ],
    )
    assert set(placed(made)) == {"n1"}


def test_memory_is_reserved_also_for_what_is_still_ending() -> None:
    made = plan(
        fresh(8, memory_bytes=256 * MIB),
        nodes=[node("n1", memory_bytes=1024 * MIB)],
        remnants=[remnant("web-1", "n1")],
        instances=[instance("db-1", "n1")],
        room={"old task of web-1": (0.0, 256 * MIB), "task of db-1": (0.0, 256 * MIB)},
    )
    assert len([start for start in made.starts if start.service == "web"]) == 2
    assert made.lacks[0].missing == 6
    assert reasons(made) == ["1 node, without 256 MiB free"]


def test_shares_of_processors_are_reserved() -> None:
    made = plan(fresh(12, cpus=0.1), nodes=[node("n1", cpus=1.0)])
    assert len(made.starts) == 10
    assert reasons(made) == ["1 node, without 0.1 cpus free"]


def test_a_node_takes_no_more_than_it_says() -> None:
    made = plan(fresh(5), nodes=nodes(2, instances_max=2))
    assert Counter(placed(made)) == {"n1": 2, "n2": 2}
    assert reasons(made) == ["2 nodes, none takes any more instances"]


def test_a_port_is_free_once_nothing_is_left_of_who_had_it() -> None:
    made = plan(
        fresh(3, host_ports=(8080,)),
        remnants=[remnant("old-1", "n1")],
        instances=[instance("db-1", "n2")],
        host_ports={"old task of old-1": (8080,), "task of db-1": (8080, 9090)},
    )
    assert [start.node for start in made.starts if start.service == "web"] == ["n3"]
    assert reasons(made) == ["port 8080 is taken on every node, by db-1, old-1, web-1"]


def test_max_per_node_holds_and_is_named() -> None:
    made = plan(fresh(5, max_per_node=1))
    assert sorted(placed(made)) == ["n1", "n2", "n3"]
    assert made.lacks[0].missing == 2
    assert reasons(made) == ["max_per_node 1 and 3 nodes"]


def test_why_there_is_no_place_is_said_for_people() -> None:
    def why(*it: object, **more: object) -> str:
        return reasons(plan(fresh(1, **more), nodes=list(it)))[0]

    assert why() == "no node is connected"
    assert why(node("n1", gone_since_ms=NOW)) == "no node is connected: 1 node can't be reached"
    only_processes = node("n1", runners=frozenset({Runner.PROCESS}))
    assert why(only_processes) == (
        "no node offers containers; start a worker with --offer container"
    )
    zone = {"constraints": (("zone", "a"),)}
    assert why(node("n1"), **zone) == "constraint zone=a: no node has it"
    idle = node("n2", labels=(("zone", "a"),), runners=frozenset({Runner.PROCESS}))
    assert why(node("n1"), idle, **zone) == (
        "constraint zone=a: no node that offers containers has it"
    )
    both = {"constraints": (("disk", "fast"), ("zone", "a"))}
    split = (node("n1", labels=(("zone", "a"),)), node("n2", labels=(("disk", "fast"),)))
    assert why(*split, **both) == "constraints disk=fast and zone=a: no node has all of them"
    small = nodes(3, memory_bytes=100 * MIB)
    assert why(*small, memory_bytes=512 * MIB) == "3 nodes, none has 512 MiB free"
    assert why(node("n1", draining=True)) == "1 node, and it drains"
    assert why(*small, node("n4", draining=True), memory_bytes=512 * MIB) == (
        "4 nodes: 1 drains, 3 without 512 MiB free"
    )
    one_away = node("n9", gone_since_ms=NOW)
    assert why(*small, one_away, memory_bytes=512 * MIB) == (
        "3 nodes, none has 512 MiB free; 1 node can't be reached"
    )


def test_the_same_reason_has_the_same_words_while_loads_change() -> None:
    def lacks(cpu: float) -> list[str]:
        busy = nodes(3, cpu=cpu, memory=cpu, memory_bytes=MIB)
        return reasons(plan(fresh(4, memory_bytes=2 * MIB), nodes=busy))

    assert lacks(0.1) == lacks(0.9)


def test_a_service_that_has_its_instances_is_not_moved_by_load() -> None:
    hot = [node("n1", cpu=1.0), node("n2"), node("n3")]
    made = plan(service(6), nodes=hot, instances=instances(*("n1", "n2", "n3") * 2))
    assert not made.starts
    assert not made.stops
