"""Large worlds: nothing takes time by the square of what there is."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from scenery import NOW, ended, instance, is_empty, node, nodes, plan, service, updated

from pullwork_master.reconciler.model import Instance, Service

NODES = nodes(100, instances_max=1_000)
# Some ten times what it takes; what grows by the square takes longer by far.
ENOUGH_S = 5.0


def world(services: int, each: int) -> tuple[list[Service], list[Instance]]:
    names = [f"s{at}" for at in range(services)]
    there = [
        instance(f"{name}-{number}", NODES[(at * each + number) % len(NODES)].name)
        for at, name in enumerate(names)
        for number in range(1, each + 1)
    ]
    return [service(each, name) for name in names], there


@pytest.mark.parametrize(("services", "each"), [(1, 10_000), (100, 100), (1_000, 10)])
def test_ten_thousand_instances_on_a_hundred_nodes_take_no_time(services: int, each: int) -> None:
    wanted, there = world(services, each)
    over = [ended(it) for it in there]
    lost = [replace(NODES[0], gone_since_ms=NOW - 60_000), *NODES[1:]]
    drains = [replace(NODES[0], draining=True), *NODES[1:]]
    none = [replace(it, wanted=replace(it.wanted, instances=0)) for it in wanted]
    began = time.process_time()
    at_rest = plan(*wanted, nodes=NODES, instances=there)
    assert is_empty(at_rest)
    assert len(plan(*wanted, nodes=NODES, ended=over).starts) == 10_000
    assert plan(*none, nodes=NODES, instances=there).stops
    assert plan(nodes=NODES, instances=there).stops
    assert plan(*wanted, nodes=lost, instances=there).starts
    assert plan(*wanted, nodes=drains, instances=there).starts
    assert plan(*map(updated, wanted), nodes=NODES, instances=there).starts
    assert plan(*wanted, nodes=[*NODES, node("n101")]).starts
    assert time.process_time() - began < ENOUGH_S
