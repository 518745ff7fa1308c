"""Planted bugs: each breaks one promise of the reconciler, and a law must say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from pullwork_master.reconciler import (
    departures,
    placement,
    reconcile,
    relief,
    restarts,
    rollout,
    turn,
)
from pullwork_master.reconciler.model import Phase, Seen
from pullwork_master.reconciler.placement import Board, Choice, Spot, Spread
from pullwork_master.reconciler.restarts import Next
from pullwork_master.reconciler.rollout import Step
from pullwork_master.reconciler.standing import Standing, by_number
from pullwork_master.reconciler.turn import Turn

Patch = Callable[[Any, str, Any], None]

# --- placement --------------------------------------------------------------------------


def starts_on_nodes_out_of_reach(patch: Patch) -> None:
    """A node that is gone is as good as any."""
    patch(Spot, "reachable", True)


def starts_on_nodes_that_drain(patch: Patch) -> None:
    """What is to be emptied is filled."""

    def wrong(self: Spot, wanted: Any) -> bool:
        return self.reachable and wanted.runner in self.node.runners and self.matches(wanted)

    patch(Spot, "suits", wrong)


def constraints_ignored(patch: Patch) -> None:
    """Any node is taken for one with the labels."""
    patch(Spot, "matches", lambda self, wanted: True)


def memory_overbooked(patch: Patch) -> None:
    """Nobody looks how much memory is left."""
    patch(Spot, "lacks_memory", lambda self, wanted: False)


def ports_clash(patch: Patch) -> None:
    """Nobody looks who has a port."""
    patch(Spot, "port_taken", lambda self, wanted: 0)


def remnants_take_nothing(patch: Patch) -> None:
    """What is still ending is taken for gone."""
    right = Board.__init__

    def wrong(self: Board, seen: Seen) -> None:
        right(self, Seen(seen.instances, seen.ended, (), seen.nodes, seen.host_ports, seen.room))

    patch(Board, "__init__", wrong)


def max_per_node_ignored(patch: Patch) -> None:
    """A node gets as many as come."""
    patch(Choice, "has_most", lambda self, spot: False)


def load_ignored(patch: Patch) -> None:
    """A busy node gets as many as an idle one."""
    patch(placement, "unseen", lambda busier: 0)


def spread_ignored(patch: Patch) -> None:
    """The first node gets all."""
    patch(Choice, "score", lambda self, spot: (0, 0, 0, 0, 0, spot.node.name))


def placed_and_not_counted(patch: Patch) -> None:
    """What was just placed takes no room in the same plan."""
    patch(Choice, "take", lambda self, spot, id: None)


# --- numbers ----------------------------------------------------------------------------


def ids_used_again_at_once(patch: Patch) -> None:
    """An id is free as soon as its task has ended."""
    right = Standing.new_id

    def wrong(self: Standing) -> str:
        self.remnants = []
        return right(self)

    patch(Standing, "new_id", wrong)


def ends_followed_twice(patch: Patch) -> None:
    """An end that was followed already is followed again."""
    right = Standing._sort_ended

    def wrong(self: Standing, ended: Any) -> None:
        live, self.all_live = self.all_live, []
        right(self, ended)
        self.all_live = live

    patch(Standing, "_sort_ended", wrong)


def ended_ones_do_not_count(patch: Patch) -> None:
    """One that starts again is missing, too."""
    patch(Standing, "count", property(lambda self: len(self.there)))


def the_well_end_first(patch: Patch) -> None:
    """Scaling down begins with those that do their work."""
    right = departures.shed

    def wrong(standing: Standing, surplus: int) -> Any:
        well = by_number(each for each in standing.there if each.phase is Phase.HEALTHY)
        return (well + right(standing, surplus))[: max(0, surplus)]

    patch(turn, "shed", wrong)


def deleted_and_kept(patch: Patch) -> None:
    """What is of no service goes on."""
    patch(reconcile, "_end_the_deleted", lambda wanted, seen, plan, bounds: None)


def acts_before_all_are_heard(patch: Patch) -> None:
    """A master that has just started takes what it was not told of for ill."""
    patch(Turn, "take_unsettled", Turn.take)


# --- restarts ---------------------------------------------------------------------------


def no_wait_between_restarts(patch: Patch) -> None:
    """What crashes starts again at once, always."""
    patch(restarts, "wait_ms", lambda quick_restarts, restart: 0)


def waits_for_ever_longer(patch: Patch) -> None:
    """One that ran for long waits as if it had not."""
    patch(restarts, "ended_quickly", lambda ended, restart: True)


def restarts_not_counted(patch: Patch) -> None:
    """Each end is the first."""
    patch(turn, "next_start", lambda ended, restart, now_ms: Next(0, 1))


# --- nodes ------------------------------------------------------------------------------


def replaced_at_once(patch: Patch) -> None:
    """A node has no time to come back."""
    _be_patient(patch, 0)


def never_replaced(patch: Patch) -> None:
    """A dead node's instances are waited for for ever."""
    _be_patient(patch, None)


def _be_patient(patch: Patch, after_ms: int | None) -> None:
    right = Standing._sort

    def wrong(self: Standing, live: Any) -> None:
        wanted = self.wanted
        self.wanted = replace(wanted, replace_after_ms=after_ms)
        right(self, live)
        self.wanted = wanted

    patch(Standing, "_sort", wrong)


def lost_ones_end_though_nobody_takes_over(patch: Patch) -> None:
    """What can't be reached is given up, place or no place."""
    right = Turn._replace_lost
    patch(Turn, "_replace_lost", lambda self, missing, placed: right(self, 0, placed))


def drains_before_the_replacement_is_ready(patch: Patch) -> None:
    """The well ones on a node that drains end first."""
    right = Turn._move

    def wrong(self: Turn, instance: Any, *, at_once: bool) -> str:
        return right(self, instance, at_once=True)

    patch(Turn, "_move", wrong)


def never_drains(patch: Patch) -> None:
    """A node that drains keeps what it has."""
    patch(Turn, "_leave", lambda self: None)


def no_relief(patch: Patch) -> None:
    """A node that joined stays empty."""
    patch(reconcile, "relieving_node", lambda standing: None)


def relief_for_a_difference_of_one(patch: Patch) -> None:
    """Three on two nodes are moved to and fro."""
    patch(relief, "UNEVEN", 1)


def relief_while_something_is_ill(patch: Patch) -> None:
    """Instances move though others are not well."""
    right = reconcile.relieving_node

    def wrong(standing: Standing) -> Spot | None:
        standing.ready = list(standing.there)
        return right(standing)

    patch(reconcile, "relieving_node", wrong)


# --- updates ----------------------------------------------------------------------------


def old_ones_end_too_early(patch: Patch) -> None:
    """Those that have just started count as well."""
    right = rollout._available

    def wrong(standing: Standing) -> int:
        young = [each for each in standing.unready if each.version == standing.service.version]
        return right(standing) + len(young)

    patch(rollout, "_available", wrong)


def too_many_at_once(patch: Patch) -> None:
    """All new ones start at once, whatever the surge."""
    right = Step.__init__

    def wrong(self: Step, standing: Standing) -> None:
        right(self, standing)
        self.starts = max(self.starts, len(standing.old))

    patch(Step, "__init__", wrong)


def done_too_early(patch: Patch) -> None:
    """A change is done when all are of the version, well or not."""
    patch(rollout, "_whole", lambda standing: not standing.old and not standing.missing)


def failed_updates_go_on(patch: Patch) -> None:
    """Nobody sees that an update has failed."""
    patch(rollout, "_failure", lambda standing: "")


def deadline_ignored(patch: Patch) -> None:
    """What is never well is waited for for ever."""
    patch(rollout, "_progress_ms", lambda standing: standing.now_ms)


def never_good(patch: Patch) -> None:
    """A version that was well is not kept to return to."""
    right = rollout.judge

    def wrong(standing: Standing) -> Any:
        roll = right(standing)
        return roll and roll._replace(good=False)

    patch(turn, "judge", wrong)


def order_of_what_is_seen_decides(patch: Patch) -> None:
    """The plan depends on the order in which instances are listed."""
    right = Spread.__init__

    def wrong(self: Spread, board: Board, spread_by: str, staying: Any, passing: Any) -> None:
        there = list(staying)
        right(self, board, spread_by, there[:1], passing)

    patch(Spread, "__init__", wrong)


MUTANTS: Final = {
    plant.__name__: plant
    for plant in (
        starts_on_nodes_out_of_reach,
        starts_on_nodes_that_drain,
        constraints_ignored,
        memory_overbooked,
        ports_clash,
        remnants_take_nothing,
        max_per_node_ignored,
        load_ignored,
        spread_ignored,
        placed_and_not_counted,
        ids_used_again_at_once,
        ends_followed_twice,
        ended_ones_do_not_count,
        the_well_end_first,
        deleted_and_kept,
        acts_before_all_are_heard,
        no_wait_between_restarts,
        waits_for_ever_longer,
        restarts_not_counted,
        replaced_at_once,
        never_replaced,
        lost_ones_end_though_nobody_takes_over,
        drains_before_the_replacement_is_ready,
        never_drains,
        no_relief,
        relief_for_a_difference_of_one,
        relief_while_something_is_ill,
        old_ones_end_too_early,
        too_many_at_once,
        done_too_early,
        failed_updates_go_on,
        deadline_ignored,
        never_good,
        order_of_what_is_seen_decides,
    )
}
