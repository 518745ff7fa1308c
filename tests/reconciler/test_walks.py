"""Whole ways, plan by plan, where everything works: where they lead, and what they cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from scenery import NOW, fresh, instance, is_empty, node, nodes, updated

from pullwork_master.reconciler.model import Instance, Node, Phase, Seen, Service, Update
from pullwork_master.reconciler.reconcile import reconcile

STEP_MS = 15_000


class Walk:
    """Performs each plan at once; what starts is well at the next look, and counts by then."""

    def __init__(self, service: Service, nodes: tuple[Node, ...]) -> None:
        self.service, self.nodes = service, nodes
        self.now_ms = NOW
        self.there: list[Instance] = []
        self.starts = 0
        # The most and the fewest there were on the way; only those that count.
        self.most, self.fewest = 0, 10**6

    def go(self) -> Counter[str]:
        """Goes on until there is nothing to do; returns how many each node has then."""
        for _ in range(200):
            seen = Seen(instances=tuple(self.there), nodes=self.nodes)
            made = reconcile([self.service], seen, self.now_ms)
            if is_empty(made):
                return Counter(each.node for each in self.there)
            ends = {stop.task_id for stop in made.stops}
            self.there = [each for each in self.there if each.task_id not in ends]
            self.fewest = min(self.fewest, len(self.there))
            for start in made.starts:
                self.starts += 1
                self.there.append(
                    instance(
                        start.id,
                        start.node,
                        Phase.HEALTHY,
                        task_id=f"{start.id} since {self.now_ms}",
                        version=start.version,
                        created_ms=self.now_ms,
                        healthy_ms=self.now_ms,
                    )
                )
            self.most = max(self.most, len(self.there))
            for roll in made.rolls:
                self.service = replace(
                    self.service,
                    revision=self.service.revision + 1,
                    rollout=roll.rollout,
                    good_version=self.service.version if roll.good else self.service.good_version,
                    good=self.service.wanted if roll.good else self.service.good,
                )
            self.now_ms += STEP_MS
        raise AssertionError("there is no end to it")

    def want(self, service: Service) -> None:
        """Wants something else, and counts anew."""
        self.service = service
        self.starts, self.most, self.fewest = 0, 0, 10**6


def walk(instances: int, count: int = 3) -> Walk:
    """Returns a way to go on from a service that is well on so many nodes."""
    made = Walk(fresh(instances), nodes(count))
    made.go()
    made.want(made.service)
    return made


def evenly(on: Counter[str], count: int) -> bool:
    return max(on.values()) - min(on[f"n{each + 1}"] for each in range(count)) <= 1


def test_an_update_makes_each_instance_once_and_leaves_the_spread_as_even_as_it_was() -> None:
    way = walk(6)
    way.want(updated(way.service))
    assert way.go() == {"n1": 2, "n2": 2, "n3": 2}
    assert {each.version for each in way.there} == {way.service.version}
    assert way.starts == 6
    assert (way.most, way.fewest) == (7, 6)


def test_scaling_up_and_down_starts_and_ends_only_the_difference() -> None:
    way = walk(6)
    for count, starts in ((9, 3), (2, 0), (0, 0), (3, 3)):
        way.want(replace(way.service, wanted=replace(way.service.wanted, instances=count)))
        assert len(list(way.go().elements())) == count
        assert way.starts == starts


def test_a_node_that_drains_is_emptied_with_as_many_starts_as_it_had() -> None:
    way = walk(6)
    way.nodes = (node("n1", draining=True), *way.nodes[1:])
    assert way.go() == {"n2": 3, "n3": 3}
    assert way.starts == 2
    assert (way.most, way.fewest) == (7, 6)


def test_a_node_that_joins_gets_its_share_with_as_many_starts() -> None:
    way = walk(9)
    way.nodes = (*way.nodes, node("n4", joined_ms=way.now_ms))
    # It is no different with the load that its neighbours have by then.
    way.nodes = tuple(replace(each, cpu=0.0 if each.name == "n4" else 0.7) for each in way.nodes)
    way.now_ms += STEP_MS
    assert evenly(way.go(), 4)
    assert way.starts == 2
    assert (way.most, way.fewest) == (10, 9)


def test_a_node_that_dies_and_comes_back_empty_ends_in_an_even_spread() -> None:
    way = walk(6)
    way.nodes = (replace(way.nodes[0], gone_since_ms=way.now_ms), *way.nodes[1:])
    way.now_ms += 30_000
    assert way.go() == {"n2": 3, "n3": 3}
    way.want(way.service)
    way.nodes = (replace(way.nodes[0], gone_since_ms=0, joined_ms=NOW), *way.nodes[1:])
    assert evenly(way.go(), 3)
    assert way.starts == 2


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(0, 12),
    machines=st.integers(1, 5),
    surge=st.integers(0, 3),
    unavailable=st.integers(0, 3),
    loads=st.lists(st.floats(0, 1), min_size=5, max_size=5),
)
def test_whatever_the_policy_an_update_comes_to_its_end_within_it(
    count: int, machines: int, surge: int, unavailable: int, loads: list[float]
) -> None:
    way = walk(count, machines)
    policy = Update(max_surge=surge or (0 if unavailable else 1), max_unavailable=unavailable)
    way.nodes = tuple(replace(it, cpu=load) for it, load in zip(way.nodes, loads, strict=False))
    way.want(updated(way.service, update=policy))
    way.go()
    assert [each.version for each in way.there] == [way.service.version] * count
    assert way.service.rollout.state.name == "DONE"
    if count:
        assert way.most <= count + policy.max_surge
        assert way.fewest >= count - unavailable
