"""Every planted bug is caught by the law beside it, and each law holds without the bug."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import test_loop as loops
import test_loop_trouble as troubles
import test_roster as rosters
import test_roster_ends as ends
from orchestrated import Bench, make_storages

from pullwork_master.core.effects import Effects
from pullwork_master.core.model import ServiceRow, Task
from pullwork_master.orchestrator import instances, records
from pullwork_master.orchestrator import loop as loop_module
from pullwork_master.orchestrator.generations import Generations
from pullwork_master.orchestrator.loop import Loop
from pullwork_master.orchestrator.nodes import KnownNode
from pullwork_master.orchestrator.roster import Roster
from pullwork_master.orchestrator.stock import Stock
from pullwork_master.reconciler.model import Start, Stop

Patch = pytest.MonkeyPatch
Law = Callable[..., Awaitable[None]]
Plant = Callable[[Patch], None]
MUTANTS: list[tuple[Plant, Law]] = []


def caught_by(*laws: Law) -> Callable[[Plant], Plant]:
    """Enters a bug with each of the laws that must catch it alone."""

    def enter(plant: Plant) -> Plant:
        MUTANTS.extend((plant, law) for law in laws)
        return plant

    return enter


@caught_by(rosters.test_what_waits_runs_or_is_requeued_is_never_unwanted)
def a_start_forgets_what_waits(patch: Patch) -> None:
    real = Roster.load

    def wrong(self: Roster, rows: Iterable[ServiceRow], tasks: Iterable[Task]) -> None:
        real(self, rows, [task for task in tasks if not task.ready_ms])

    patch.setattr(Roster, "load", wrong)


@caught_by(rosters.test_unwanted_is_what_no_live_task_of_that_node_stands_for)
def a_task_of_any_node_will_do(patch: Patch) -> None:
    patch.setattr(Stock, "on", lambda self, node: self.lives)


@caught_by(ends.test_what_is_left_of_an_ended_task_takes_its_room_until_the_node_has_it_no_more)
def what_a_node_gave_up_is_shown_for_ever(patch: Patch) -> None:
    patch.setattr(Stock, "reported", lambda self: None)


@caught_by(rosters.test_the_generation_never_goes_back_over_a_restart)
def generations_begin_anew(patch: Patch) -> None:
    real = Generations.__init__
    patch.setattr(Generations, "__init__", lambda self, term: real(self, 1))


@caught_by(rosters.test_the_generation_grows_with_each_visible_change_and_with_nothing_else)
def each_report_is_a_change(patch: Patch) -> None:
    real = Roster.report

    def wrong(self: Roster, *args: Any) -> list[str]:
        for name in self.services:
            self._changed(name)
        return real(self, *args)

    patch.setattr(Roster, "report", wrong)


@caught_by(rosters.test_instances_of_a_node_that_is_gone_are_disconnected_until_it_is_back)
def a_gone_node_changes_nothing_that_is_shown(patch: Patch) -> None:
    patch.setattr(Roster, "_refresh_node", lambda self, node: None)


@caught_by(rosters.test_a_disk_that_was_full_costs_nodes_their_sessions_and_nothing_else)
def only_members_tell_of_sessions(patch: Patch) -> None:
    real = Roster.heard

    def wrong(self: Roster, effects: Effects) -> None:
        effects.news.clear()
        real(self, effects)

    patch.setattr(Roster, "heard", wrong)


@caught_by(
    rosters.test_after_a_start_it_is_settled_once_all_nodes_with_instances_reported,
    rosters.test_a_node_that_stays_away_after_a_start_is_waited_for_so_long_and_no_longer,
)
def a_start_waits_for_nobody(patch: Patch) -> None:
    patch.setattr(Roster, "settled", property(lambda self: True))


@caught_by(rosters.test_the_load_of_a_node_is_smoothed_over_its_heartbeats)
def each_look_is_a_heartbeat(patch: Patch) -> None:
    real = KnownNode.look

    def wrong(self: KnownNode) -> bool:
        self._load = None
        return real(self)

    patch.setattr(KnownNode, "look", wrong)


@caught_by(ends.test_what_somebody_else_cancelled_is_followed_what_the_plan_stopped_is_not)
def what_is_stopped_is_followed(patch: Patch) -> None:
    patch.setattr(Stock, "stopping", lambda self, ids: None)


@caught_by(ends.test_what_is_left_of_an_ended_task_takes_its_room_until_the_node_has_it_no_more)
def what_has_ended_takes_no_room(patch: Patch) -> None:
    patch.setattr(KnownNode, "ports_of", lambda self, task_id: ())


@caught_by(ends.test_since_when_an_instance_is_healthy_counts_without_a_break)
def healthy_since_the_last_report(patch: Patch) -> None:
    real = Roster._report_changed

    def wrong(self: Roster, node: KnownNode, task_id: str, before: Any) -> None:
        live = self.stock.lives.get(task_id)
        if live is not None:
            live.healthy_ms = 0
        real(self, node, task_id, before)

    patch.setattr(Roster, "_report_changed", wrong)


@caught_by(troubles.test_what_is_refused_is_tried_again_and_nothing_that_ended_is_forgotten)
def what_was_refused_is_done(patch: Patch) -> None:
    real = Loop._start

    async def wrong(self: Loop, starts: Sequence[Start], refused: Any) -> set[str]:
        await real(self, starts, refused)
        return set()

    patch.setattr(Loop, "_start", wrong)


@caught_by(troubles.test_one_that_can_not_be_stopped_gets_no_follower_beside_it)
def starts_whatever_became_of_the_stops(patch: Patch) -> None:
    real = Loop._stop

    async def wrong(self: Loop, stops: Sequence[Stop], refused: Any) -> bool:
        await real(self, stops, refused)
        return True

    patch.setattr(Loop, "_stop", wrong)


@caught_by(troubles.test_a_bug_in_the_reconciler_leaves_services_as_they_are_and_the_master_alive)
def a_bug_is_not_caught(patch: Patch) -> None:
    async def wrong(self: Loop) -> None:
        self._wait_s = await self._pass()

    patch.setattr(Loop, "look", wrong)


@caught_by(loops.test_an_update_that_fails_returns_to_what_was_well)
def a_return_is_a_new_version(patch: Patch) -> None:
    real = records.rolled

    def wrong(*args: Any, good: bool, back: bool) -> tuple[bytes, int]:
        record, version = real(*args, good=good, back=back)
        return record, 0 if back else version

    patch.setattr(loop_module.records, "rolled", wrong)


@caught_by(loops.test_an_update_rolls_until_all_are_of_the_new_version)
def how_far_it_came_is_not_stored(patch: Patch) -> None:
    async def wrong(self: Loop, roll: Any, refused: Any) -> None:
        return None

    patch.setattr(Loop, "_roll", wrong)


@caught_by(loops.test_a_node_that_returns_in_time_keeps_what_it_has)
def a_dead_node_ends_its_instances(patch: Patch) -> None:
    patch.setattr(instances, "DEATHS_MAX", 1)


@caught_by(troubles.test_a_master_without_services_does_not_look_at_all)
def it_looks_at_nothing(patch: Patch) -> None:
    patch.setattr(Roster, "idle", property(lambda self: False))


async def tried(law: Law, folder: Path, patch: Patch) -> None:
    """Tries a law on a master of its own, in memory."""
    bench = Bench(make_storages(folder, "memory"))
    await bench.start()
    more: dict[str, Any] = {}
    if "caplog" in law.__code__.co_varnames[: law.__code__.co_argcount]:  # type: ignore[attr-defined]
        more["caplog"] = _Records(patch)
    try:
        await law(bench, **more)
    finally:
        await bench.kill()


class _Records:
    """Stands for `caplog`: what the loop logged as critical."""

    def __init__(self, patch: Patch) -> None:
        self.records: list[Any] = []

        def critical(message: str, **_: Any) -> None:
            record = type("Record", (), {"levelname": "CRITICAL", "message": message})
            self.records.append(record)

        patch.setattr(loop_module.log, "critical", critical)


def _label(mutant: tuple[Plant, Law]) -> str:
    return f"{mutant[0].__name__}-{mutant[1].__name__}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=map(_label, MUTANTS))
async def test_a_planted_bug_is_caught(
    mutant: tuple[Plant, Law], tmp_path: Path, monkeypatch: Patch
) -> None:
    plant, law = mutant
    plant(monkeypatch)
    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        await tried(law, tmp_path, monkeypatch)
    assert not isinstance(caught.value, TypeError | AttributeError), caught.value


# In one order in every process: a set would have another in each.
LAWS = tuple(dict.fromkeys(law for _, law in MUTANTS))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
async def test_a_law_holds_without_the_bug(law: Law, tmp_path: Path, monkeypatch: Patch) -> None:
    await tried(law, tmp_path, monkeypatch)
