"""The judge of services: it calls what is well so, and finds each kind of wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fault_harness.services.judge import (
    HEALTHY,
    Found,
    Sight,
    Told,
    Truth,
    doubles,
    lacking,
    orphans,
)

NODES = ("node1", "node2", "node3")
TRUTH = Truth({"web": 3}, frozenset(NODES))
TOLD = tuple(
    Told(f"web-{number}", "web", node, HEALTHY, addresses=(f"127.0.0.1:{number}",))
    for number, node in enumerate(NODES, 1)
)
FOUND = tuple(Found(f"h{it.id}", it.id, "web", it.node) for it in TOLD)
WELL = Sight(TOLD, FOUND, {"web": 3}, frozenset(it.addresses[0] for it in TOLD))
STRAY = Found("h9", "web-9", "web", "node1")

WRONG = {
    "one is not healthy": replace(
        WELL,
        told=(replace(TOLD[0], state="INSTANCE_STATE_STARTING"), *TOLD[1:]),
        healthy={"web": 2},
    ),
    "one does not run": replace(WELL, found=FOUND[1:]),
    "one ended and lies there": replace(WELL, found=(*FOUND, replace(STRAY, live=False))),
    "one too many runs": replace(WELL, found=(*FOUND, STRAY)),
    "one lives twice": replace(WELL, found=(*FOUND, replace(FOUND[0], handle="h9"))),
    "one runs on another node": replace(WELL, found=(replace(FOUND[0], node="node2"), *FOUND[1:])),
    "one too many is told": replace(WELL, told=(*TOLD, replace(TOLD[0], id="web-9"))),
    "a deleted one is told": replace(WELL, told=(*TOLD, replace(TOLD[0], service="old"))),
    "discovery lacks one": replace(WELL, discovered=frozenset({"127.0.0.1:1"})),
    "discovery names a dead one": replace(
        WELL, discovered=(WELL.discovered or frozenset()) | {"127.0.0.1:9"}
    ),
}


def test_what_is_as_wanted_is_well() -> None:
    assert list(lacking(WELL, TRUTH)) == []
    assert list(lacking(replace(WELL, discovered=None), TRUTH)) == []


@pytest.mark.parametrize("sight", WRONG.values(), ids=WRONG.keys())
def test_what_is_not_as_wanted_is_found(sight: Sight) -> None:
    assert list(lacking(sight, TRUTH))


def test_what_goes_on_where_nobody_reaches_is_no_orphan_and_no_double() -> None:
    truth = replace(TRUTH, reachable=frozenset({"node2", "node3"}))
    cut = replace(WELL, found=(*FOUND, replace(FOUND[1], node="node1"), STRAY))
    assert not doubles(cut, truth)
    assert not orphans(cut, truth)


def test_a_healthy_one_on_a_node_out_of_reach_is_a_lie() -> None:
    truth = replace(TRUTH, reachable=frozenset({"node2", "node3"}))
    assert any("can't be reached" in it for it in lacking(WELL, truth))


def test_a_crash_loop_need_not_run_but_never_runs_twice() -> None:
    truth = replace(TRUTH, wanted={"web": 3, "bad": 1}, restless=frozenset({"bad"}))
    failed = Told("bad-1", "bad", "node1", "INSTANCE_STATE_FAILED")
    resting = replace(WELL, told=(*TOLD, failed))
    assert list(lacking(resting, truth)) == []
    twice = [Found(f"b{at}", "bad-1", "bad", "node1") for at in range(2)]
    assert list(lacking(replace(resting, found=(*FOUND, *twice)), truth))
