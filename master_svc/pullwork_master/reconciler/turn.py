"""What is done about one service in one plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from pullwork_master.reconciler.departures import meant_surplus, shed
from pullwork_master.reconciler.model import (
    Ended,
    Instance,
    Lack,
    Phase,
    Plan,
    Rolling,
    Start,
    Stop,
)
from pullwork_master.reconciler.placement import Choice, Spot
from pullwork_master.reconciler.restarts import ENDS_ON_A_NODE, next_start
from pullwork_master.reconciler.rollout import Step, judge
from pullwork_master.reconciler.sentences import why_no_step, why_none
from pullwork_master.reconciler.standing import Standing, by_number

# In one plan, so that no plan takes long to make or to perform. Those that start again are not
# counted: they had their place before.
STARTS_MAX: Final = 50
STOPS_MAX: Final = 500


class Bounds:
    """How much is left of what one plan may do."""

    def __init__(self) -> None:
        self._starts = STARTS_MAX
        self._stops = STOPS_MAX
        # There is more to do at once.
        self.reached = False

    def may_go_on(self) -> bool:
        """Says whether anything may start; False: the next plan looks for places."""
        self.reached |= self._starts <= 0
        return self._starts > 0

    def may_start(self) -> bool:
        """Counts a start; False: the next plan will have it."""
        self._starts -= 1
        self.reached |= self._starts < 0
        return self._starts >= 0

    @property
    def stops_left(self) -> int:
        """How many may still be stopped."""
        return max(0, self._stops)

    def may_stop(self) -> bool:
        """Counts a stop; False: the next plan will have it."""
        self._stops -= 1
        self.reached |= self._stops < 0
        return self._stops >= 0


class Turn:
    """One service's turn."""

    def __init__(self, standing: Standing, plan: Plan, bounds: Bounds) -> None:
        self.standing = standing
        self._plan = plan
        self._bounds = bounds
        # By reason: how many have no place.
        self._lacks: dict[str, int] = {}

    def take_unsettled(self) -> None:
        """Does only what is right however the instances on unheard nodes are.

        Tasks are on disk, so how many there are is known, and what is missing is.
        """
        standing = self.standing
        self._forget(standing.unfollowed)
        self._follow(standing.ended)
        has = len(standing.all_live) + len(standing.ended)
        self._fill(standing.wanted.instances - has)
        self._tell_lacks()

    def take(self) -> None:
        """Does what the service needs next."""
        standing = self.standing
        if self._stop(standing.doubles(), "another has its id"):
            return
        roll = judge(standing)
        if roll is not None:
            self._plan.rolls.append(roll)
            if roll.rollout.state in (Rolling.RETURNING, Rolling.PAUSED):
                # The next plan goes by that.
                return
        self._forget(standing.unfollowed)
        surge = standing.wanted.update.max_surge if standing.rolling else meant_surplus(standing)
        if -standing.missing > surge:
            self._shed(-standing.missing - surge)
        elif standing.rolling:
            self._follow(standing.ended)
            step = Step(standing)
            stopped = self._stop(step.stops, f"replaced by version {standing.service.version}")
            self._replace_lost(standing.missing + stopped, self._fill(step.starts, step.lacking))
        else:
            self._follow(standing.ended)
            self._replace_lost(standing.missing, self._fill(standing.missing))
            self._leave()
        self._tell_lacks()

    def start_on(self, spot: Spot) -> bool:
        """Starts one more on a node; False: not in this plan."""
        if not self._bounds.may_start():
            return False
        standing = self.standing
        self._start(standing.choice(standing.wanted), spot, standing.service.version)
        return True

    # --- ends ---------------------------------------------------------------------------

    def _stop(self, instances: Iterable[Instance], reason: str) -> int:
        """Stops instances; returns how many of them in this plan."""
        allowed = [each for each in instances if self._bounds.may_stop()]
        self._plan.stops += [Stop(each.task_id, reason) for each in allowed]
        return len(allowed)

    def _forget(self, ended: Iterable[Ended]) -> None:
        self._plan.done += [each.instance.task_id for each in ended]

    def _shed(self, surplus: int) -> None:
        """Ends so many: first those that ended by themselves, which then don't start again."""
        standing = self.standing
        kept = standing.ended[: max(0, len(standing.ended) - surplus)]
        self._forget(standing.ended[len(kept) :])
        self._follow(kept)
        # Hardly more than this plan may stop; the next goes on.
        surplus = min(surplus - len(standing.ended) + len(kept), self._bounds.stops_left + 1)
        why = f"{standing.wanted.instances} are wanted, and there were more"
        self._stop((*standing.lost, *shed(standing, surplus)), why)

    def _replace_lost(self, missing: int, placed: int) -> None:
        """Stops those on nodes that are away too long, as far as others take over from them.

        Where there is no place for those, nothing is gained by it.
        """
        version = self.standing.service.version
        lost = sorted(by_number(self.standing.lost), key=lambda each: each.version != version)
        kept = min(len(lost), max(0, missing - placed))
        self._stop(lost[kept:], "its node can't be reached; another takes over")

    # --- starts -------------------------------------------------------------------------

    def _fill(self, starts: int, needed: int | None = None) -> int:
        """Starts so many new ones, of which some are `needed`, by default all.

        Returns for how many there was a place.
        """
        if starts <= 0 or not self._bounds.may_go_on():
            return 0
        standing = self.standing
        made_of, version = standing.to_start()
        choice = standing.choice(made_of)
        for placed in range(starts):
            spot = choice.best()
            if spot is None:
                lacking = max(0, (starts if needed is None else needed) - placed)
                self._lack(lacking, why_none(choice) if lacking else why_no_step(choice))
                return placed
            if not self._bounds.may_start():
                return placed
            self._start(choice, spot, version)
        return starts

    def _follow(self, ended: Iterable[Ended]) -> None:
        """Starts those again that ended by themselves: where they were, or else anew."""
        standing = self.standing
        restart = standing.wanted.restart
        for each in ended:
            it, made_of = each.instance, standing.template_of(each)
            assert made_of is not None, each
            choice = standing.choice(made_of)
            home = standing.board.spots.get(it.node)
            if home is not None and not home.suits(choice.wanted):
                home = None
            when = next_start(each, restart, standing.now_ms)
            spot = home
            # One that is to relieve a node is to be there or not at all.
            elsewhere = when.quick_restarts % ENDS_ON_A_NODE == 0 and standing.missing >= 0
            if home is None or (when.quick_restarts and elsewhere):
                spot = choice.best(avoid=(it.node,)) or home
            if spot is None:
                self._lack(1, why_none(choice))
                continue
            if spot is not home:
                choice.spread.went(it.node)
                choice.take(spot, it.id)
            self._plan.done.append(it.task_id)
            start = self._start_of(choice, spot, it.id, it.version)
            self._plan.starts.append(
                start._replace(
                    not_before_ms=when.not_before_ms,
                    restarts=it.restarts + 1,
                    quick_restarts=when.quick_restarts,
                    last_exit=each.exit,
                )
            )

    def _start(self, choice: Choice, spot: Spot, version: int) -> None:
        """Starts one that was not there before."""
        id = self.standing.new_id()
        choice.take(spot, id)
        self._plan.starts.append(self._start_of(choice, spot, id, version))

    def _start_of(self, choice: Choice, spot: Spot, id: str, version: int) -> Start:
        made_of = choice.wanted
        return Start(
            id=id,
            service=self.standing.service.name,
            version=version,
            node=spot.node.name,
            template=made_of.template,
            runner=made_of.runner,
        )

    # --- moves --------------------------------------------------------------------------

    def _leave(self) -> None:
        """Moves those away that are to leave their nodes.

        One that is not well is replaced at once: nothing is lost by it. Of the well ones one at a
        time gets a replacement, and ends when that is ready.
        """
        standing = self.standing
        leaving = by_number(standing.leaving())
        if not leaving:
            return
        well = [each for each in leaving if each.phase is Phase.HEALTHY]
        stuck: defaultdict[str, list[Instance]] = defaultdict(list)
        for each in leaving:
            if each.phase is not Phase.HEALTHY and (why := self._move(each, at_once=True)):
                stuck[why].append(each)
        moving = {each.task_id for each in leaving}
        others = [each for each in standing.unready if each.task_id not in moving]
        if well and others and standing.missing >= 0:
            stuck[f"waiting until {by_number(others)[0].id} is well"] += well
        elif len(well) == len(leaving) and standing.complete:
            stuck[self._move(well[0], at_once=False)] += well
        stuck.pop("", None)
        for why, those in stuck.items():
            nodes = ", ".join(sorted({each.node for each in those}))
            are = "is" if len(those) == 1 else "are"
            self._lack(0, f"{len(those)} {are} to leave {nodes}: {why}")

    def _move(self, instance: Instance, *, at_once: bool) -> str:
        """Starts one in the place of another; returns why there is no place for it."""
        choice, version = self.standing.choice_for(instance)
        spot = choice.best()
        if spot is None:
            return why_none(choice)
        if self._bounds.may_start():
            self._start(choice, spot, version)
            if at_once:
                # How often it ended goes with it, or a move would be a way out of the wait.
                self._plan.starts[-1] = self._plan.starts[-1]._replace(
                    not_before_ms=instance.not_before_ms,
                    restarts=instance.restarts,
                    quick_restarts=instance.quick_restarts,
                    last_exit=instance.last_exit,
                )
                self._stop([instance], "it leaves its node; another takes over")
        return ""

    def _lack(self, missing: int, reason: str) -> None:
        self._lacks[reason] = self._lacks.get(reason, 0) + missing

    def _tell_lacks(self) -> None:
        name = self.standing.service.name
        self._plan.lacks += [Lack(name, missing, why) for why, missing in self._lacks.items()]
