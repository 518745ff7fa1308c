"""How a change reaches the instances: new before old, never too few well ones, and back again."""

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
    updated,
)

from pullwork_master.reconciler.model import (
    Exit,
    Instance,
    Phase,
    Rolling,
    Rollout,
    Update,
)

OLD = instances("n1", "n2", "n3")
SECOND = updated(service(3))
CRASH = Exit("exit code 1: no such table", 1, NOW - 1, started_ms=NOW - 500)


def new(id: str, on: str, phase: Phase = Phase.HEALTHY, **more: object) -> Instance:
    more.setdefault("created_ms", NOW - 1_000)
    return instance(id, on, phase, version=2, **more)


# --- steps ------------------------------------------------------------------------------


def test_the_new_one_comes_first_and_the_old_one_ends_when_it_counts() -> None:
    first = plan(SECOND, instances=OLD)
    assert placed(first) == ["n1"]
    assert (first.starts[0].version, first.starts[0].template) == (2, b"2")
    assert not first.stops
    starting = new("web-4", "n1", Phase.STARTING)
    assert not plan(SECOND, instances=[*OLD, starting]).stops
    hardly = new("web-4", "n1", healthy_ms=NOW - 1_999)
    assert is_empty(plan(SECOND, instances=[*OLD, hardly]))
    counts = new("web-4", "n1")
    second = plan(SECOND, instances=[*OLD, counts])
    assert stopped(second) == ["web-1"]
    third = plan(SECOND, instances=[*OLD[1:], counts])
    assert placed(third) == ["n2"]


def test_with_room_for_fewer_an_old_one_ends_first() -> None:
    frugal = updated(service(3), update=Update(max_surge=0, max_unavailable=1))
    first = plan(frugal, instances=OLD)
    assert len(first.stops) == 1
    assert len(first.starts) == 1
    new_one = new("web-4", first.starts[0].node, Phase.STARTING)
    left = [each for each in OLD if each.id not in stopped(first)]
    assert is_empty(plan(frugal, instances=[*left, new_one]))


def test_a_step_takes_as_many_as_the_policy_allows() -> None:
    quick = updated(service(6), update=Update(max_surge=2, max_unavailable=1))
    made = plan(quick, instances=instances(*("n1", "n2", "n3") * 2))
    assert len(made.stops) == 1
    assert len(made.starts) == 3


def test_old_ones_that_are_not_well_are_replaced_first() -> None:
    sick = instance("web-2", "n2", Phase.FAILED, quick_restarts=5)
    made = plan(SECOND, instances=[OLD[0], sick, OLD[2]])
    assert stopped(made) == ["web-2"]
    assert len(made.starts) == 1


def test_one_that_crashes_while_a_new_one_could_take_its_place_is_not_started_again() -> None:
    loops = ended(replace(OLD[2], quick_restarts=1))
    made = plan(SECOND, instances=OLD[:2], ended=[loops])
    assert made.done == ["task of web-3"]
    assert {start.version for start in made.starts} == {2}
    once = plan(SECOND, instances=OLD[:2], ended=[ended(OLD[2])])
    assert ("web-3", 1, b"1") in [(it.id, it.version, it.template) for it in once.starts]


def test_a_bad_version_gets_no_further_than_its_first_step() -> None:
    bad = new("web-4", "n1", Phase.UNHEALTHY)
    assert is_empty(plan(SECOND, instances=[*OLD, bad]))


def test_what_nobody_can_reach_stands_in_no_updates_way() -> None:
    """It counts as there, is not touched, and is replaced when its time is over."""
    away = [*nodes(2), node("n3", gone_since_ms=NOW - 1_000)]
    counts = new("web-4", "n1")
    made = plan(SECOND, nodes=away, instances=[*OLD, counts])
    assert stopped(made) == ["web-1"]
    two = [OLD[2], counts, new("web-5", "n2"), new("web-6", "n1")]
    assert is_empty(plan(SECOND, nodes=away, instances=two))


def test_a_service_can_be_scaled_in_the_middle_of_an_update() -> None:
    middle = [*OLD[1:], new("web-4", "n1")]
    more = plan(updated(service(5)), instances=middle)
    assert len(more.starts) == 2
    assert {start.version for start in more.starts} == {2}
    assert not more.stops
    fewer = plan(updated(service(1)), instances=[*OLD, new("web-4", "n1")])
    assert stopped(fewer) == ["web-1", "web-3"]
    young = plan(updated(service(1)), instances=[*OLD, new("web-4", "n1", healthy_ms=NOW)])
    assert stopped(young) == ["web-4", "web-3"]
    none = plan(updated(service(0)), instances=OLD)
    assert len(none.stops) == 2


def test_a_step_without_a_place_is_told() -> None:
    full = nodes(3, instances_max=1)
    made = plan(SECOND, nodes=full, instances=OLD)
    assert reasons(made) == [
        "no room for one more while the old ones run (let max_unavailable be 1, then they give way "
        "first): 3 nodes, none takes any more instances"
    ]
    assert made.lacks[0].missing == 0


# --- done -------------------------------------------------------------------------------


def test_it_is_done_when_all_are_of_the_version_and_count() -> None:
    all_new = [new(f"web-{each}", f"n{each - 3}") for each in (4, 5, 6)]
    made = plan(SECOND, instances=all_new)
    assert [(it.rollout.state, it.good, it.back) for it in made.rolls] == [
        (Rolling.DONE, True, False)
    ]
    assert made.rolls[0].revision == SECOND.revision
    young = [*all_new[:2], replace(all_new[2], healthy_ms=NOW - 1)]
    assert is_empty(plan(SECOND, instances=young))


def test_the_first_version_is_done_when_it_is_well_and_is_good_from_then_on() -> None:
    made = plan(fresh(3), instances=OLD)
    assert (made.rolls[0].rollout.state, made.rolls[0].good) == (Rolling.DONE, True)


def test_a_version_that_nobody_has_seen_running_is_not_good() -> None:
    made = plan(fresh(0))
    assert (made.rolls[0].rollout.state, made.rolls[0].good) == (Rolling.DONE, False)
    idle = replace(fresh(0), rollout=Rollout(Rolling.DONE, NOW, 1))
    assert is_empty(plan(idle))
    scaled = replace(fresh(3), rollout=Rollout(Rolling.DONE, NOW, 1))
    assert plan(scaled, instances=OLD).rolls[0].good


# --- failed -----------------------------------------------------------------------------


def test_a_new_one_that_ends_twice_in_a_row_fails_the_update_and_what_was_well_returns() -> None:
    twice = new("web-4", "n1", Phase.FAILED, quick_restarts=2, last_exit=CRASH)
    made = plan(SECOND, instances=[*OLD, twice])
    (roll,) = made.rolls
    assert roll.back
    assert (roll.rollout.state, roll.rollout.version) == (Rolling.RETURNING, 1)
    assert roll.rollout.reason == (
        "version 2 failed: web-4 ended 2 times in a row: exit code 1: no such table"
    )
    assert not made.starts
    assert not made.stops


def test_the_second_end_itself_tells_it() -> None:
    made = plan(SECOND, instances=OLD, ended=[ended(new("web-4", "n1"), quick_restarts=1)])
    assert made.rolls[0].back
    assert not made.done


def test_a_single_end_is_no_failure() -> None:
    made = plan(SECOND, instances=OLD, ended=[ended(new("web-4", "n1"))])
    assert not made.rolls
    assert made.starts[0].version == 2


def test_a_new_one_that_does_not_count_in_time_fails_the_update() -> None:
    late = updated(service(3), ago_ms=120_000)
    slow = new("web-4", "n1", Phase.STARTING, created_ms=NOW - 120_000)
    made = plan(late, instances=[*OLD, slow])
    assert made.rolls[0].rollout.reason == "version 2 failed: web-4 was not well within 120 s"
    in_time = plan(late, instances=[*OLD, replace(slow, created_ms=NOW - 119_000)])
    assert is_empty(in_time)
    assert in_time.next_ms == NOW + 1_000


def test_one_that_is_healthy_again_is_not_late() -> None:
    """A master that has just started takes all for healthy since then."""
    late = updated(service(3), ago_ms=500_000)
    there = [new(f"web-{each}", "n1", created_ms=NOW - 400_000) for each in (4, 5)]
    just = [replace(each, healthy_ms=NOW - 10) for each in there]
    assert is_empty(plan(late, instances=[OLD[0], *just]))
    sick = replace(there[0], phase=Phase.UNHEALTHY, healthy_ms=0)
    assert plan(late, instances=[OLD[0], sick, just[1]]).rolls[0].back


def test_each_step_has_the_whole_time() -> None:
    late = updated(service(3), ago_ms=500_000)
    there = [*OLD[1:], new("web-4", "n1", healthy_ms=NOW - 100_000, created_ms=NOW - 110_000)]
    young = new("web-5", "n2", Phase.STARTING, created_ms=NOW - 50_000)
    assert is_empty(plan(late, instances=[*there, young]))


def test_starting_again_and_again_gains_no_time() -> None:
    late = updated(service(3), ago_ms=120_000)
    again = new("web-4", "n1", Phase.STARTING, restarts=1, quick_restarts=1)
    assert plan(late, instances=[*OLD, again]).rolls[0].back


def test_an_update_that_finds_no_place_fails_and_says_so() -> None:
    late = updated(service(3), ago_ms=120_000)
    made = plan(late, nodes=nodes(3, instances_max=1), instances=OLD)
    assert made.rolls[0].rollout.reason == (
        "version 2 failed: no place for a new instance within 120 s (let max_unavailable be 1, "
        "then they give way first): 3 nodes, none takes any more instances"
    )


def test_a_version_that_was_done_before_anything_of_it_ran_may_fail_later() -> None:
    unproven = replace(updated(service(3), ago_ms=500_000), wanted=SECOND.wanted)
    unproven = replace(unproven, rollout=unproven.rollout._replace(state=Rolling.DONE))
    assert not plan(unproven).rolls
    young = new("web-1", "n1", Phase.STARTING)
    assert not plan(unproven, instances=[young]).rolls
    loops = replace(young, quick_restarts=2, restarts=2, last_exit=CRASH)
    assert plan(unproven, instances=[loops]).rolls[0].back


def test_the_first_version_has_nothing_to_return_to_and_goes_on() -> None:
    loops = instance("web-1", "n1", Phase.FAILED, quick_restarts=9, last_exit=CRASH)
    made = plan(replace(fresh(3), rollout=Rollout(Rolling.ROLLING, LONG_AGO, 1)), instances=[loops])
    assert not made.rolls
    assert len(made.starts) == 2


def returning() -> object:
    rollout = Rollout(Rolling.RETURNING, NOW - 1_000, 1, "version 2 failed")
    return replace(service(3), revision=3, rollout=rollout)


def test_on_the_way_back_what_failed_ends_and_the_end_is_told() -> None:
    failed = new("web-4", "n1", Phase.FAILED, quick_restarts=3, last_exit=CRASH)
    made = plan(returning(), instances=[*OLD, failed])
    assert stopped(made) == ["web-4"]
    assert not made.starts
    whole = plan(returning(), instances=OLD)
    assert whole.rolls[0].rollout == Rollout(Rolling.RETURNED, NOW - 1_000, 1, "version 2 failed")


def test_the_way_back_keeps_what_is_well_until_the_old_version_takes_over() -> None:
    made = plan(returning(), instances=[OLD[0], new("web-4", "n2"), new("web-5", "n3")])
    assert not made.stops
    assert [start.version for start in made.starts] == [1]


def test_left_as_it_is_a_failed_update_keeps_old_and_new() -> None:
    kept = updated(service(3), update=Update(returns=False))
    failed = new("web-4", "n1", Phase.FAILED, quick_restarts=2, last_exit=CRASH)
    made = plan(kept, instances=[*OLD, failed])
    assert (made.rolls[0].rollout.state, made.rolls[0].back) == (Rolling.PAUSED, False)
    assert made.rolls[0].rollout.reason == (
        "web-4 ended 2 times in a row: exit code 1: no such table"
    )
    paused = replace(kept, rollout=made.rolls[0].rollout)
    assert is_empty(plan(paused, instances=[*OLD, failed]))
    for there in ([*OLD[:2], failed], OLD[:2]):
        missing = plan(paused, instances=there)
        assert [(start.version, start.template) for start in missing.starts] == [(1, b"1")]


@pytest.mark.parametrize("state", [Rolling.DONE, Rolling.RETURNED])
def test_what_is_well_again_is_told_once(state: Rolling) -> None:
    at_rest = replace(service(3), rollout=Rollout(state, LONG_AGO, 1))
    assert is_empty(plan(at_rest, instances=OLD))
