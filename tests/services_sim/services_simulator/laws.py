"""What must hold of every plan, reckoned without the reconciler's own words for it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

from simulator.story import Story, require

from pullwork_master.reconciler import reconcile as reconciler
from pullwork_master.reconciler.model import (
    Instance,
    Node,
    Phase,
    Plan,
    Rolling,
    Seen,
    Service,
    Wanted,
)
from services_simulator.account import Account

# Every so many plans are made twice.
TWICE_EVERY: Final = 16
BUSIER: Final = 0.5
# No world needs more of them to come to rest.
PLANS_MAX: Final = 2_000


class Laws:
    """Judges each plan against what the master saw when it was made."""

    def __init__(self, story: Story) -> None:
        self._story = story
        # What each template asks for.
        self.made_of: dict[bytes, Wanted] = {}
        self.plans = 0
        # Starts of what had not been there before, to see whether the world comes to rest.
        self.new_starts = 0
        self.met: set[str] = set()

    def planned(self, services: Sequence[Service], seen: Seen, now_ms: int, plan: Plan) -> None:
        """Judges one plan. Errors: BrokenLawError."""
        self.plans += 1
        require(self.plans < PLANS_MAX, "there is an end to plans", plan)
        if self._story.told:
            self._tell(plan, now_ms)
        if self.plans % TWICE_EVERY == 0:
            turned = Seen(
                seen.instances[::-1],
                seen.ended[::-1],
                seen.remnants[::-1],
                seen.nodes[::-1],
                seen.host_ports,
                seen.room,
                seen.settled,
            )
            again = reconciler.reconcile(services[::-1], turned, now_ms)
            require(_same(plan, again), "the same world gets the same plan", plan, again)
        if not (plan.stops or plan.starts or plan.rolls or plan.done or seen.instances or services):
            return
        self._check_names(services, seen, plan)
        account = Account(seen, plan, self.made_of)
        account.check_places()
        account.check_ids()
        by_service: defaultdict[str, list[Instance]] = defaultdict(list)
        for each in seen.instances:
            by_service[each.service].append(each)
        known = {service.name for service in services}
        for name in by_service.keys() - known:
            for each in by_service[name]:
                require(each.task_id in account.stopped, "what is of no service ends", each.id)
        for service in services:
            case = Case(service, by_service[service.name], seen, now_ms, plan, account)
            self.new_starts += len(case.new)
            case.check()
            self.met |= case.met

    def _check_names(self, services: Sequence[Service], seen: Seen, plan: Plan) -> None:
        """Nothing is decided about what does not exist, and nothing twice."""
        live = {each.task_id for each in seen.instances}
        ended = {each.instance.task_id for each in seen.ended}
        named = [stop.task_id for stop in plan.stops]
        require(live.issuperset(named), "only what is there is stopped", named)
        require(ended.issuperset(plan.done), "only what ended is done with", plan.done)
        require(len({*named, *plan.done}) == len(named) + len(plan.done), "once each", plan)
        revisions = {service.name: service.revision for service in services}
        for roll in plan.rolls:
            require(revisions.get(roll.service) == roll.revision, "a roll is fenced", roll)
        for start in plan.starts:
            require(start.service in revisions, "what is started is wanted", start)
        for lack in plan.lacks:
            require(lack.missing >= 0 and bool(lack.reason), "a lack has a reason", lack)

    def _tell(self, plan: Plan, now_ms: int) -> None:
        for stop in plan.stops:
            self._story.tell(now_ms * 1_000, "plan", "stop", *stop)
        for start in plan.starts:
            wait = max(0, start.not_before_ms - now_ms)
            self._story.tell(
                now_ms * 1_000, "plan", "start", start.id, start.node, start.version, f"+{wait}"
            )
        for roll in plan.rolls:
            self._story.tell(now_ms * 1_000, "plan", "roll", roll)
        for lack in plan.lacks:
            self._story.tell(now_ms * 1_000, "plan", "lack", *lack)


def _same(one: Plan, other: Plan) -> bool:
    """Says whether two plans do the same, the order aside where it is that of what was seen."""
    return (
        sorted(one.stops) == sorted(other.stops)
        and one.starts == other.starts
        and one.rolls == other.rolls
        and one.lacks == other.lacks
        and sorted(one.done) == sorted(other.done)
        and one.next_ms == other.next_ms
    )


class Case:
    """One service in one plan."""

    def __init__(
        self,
        service: Service,
        live: list[Instance],
        seen: Seen,
        now_ms: int,
        plan: Plan,
        account: Account,
    ) -> None:
        self.service, self.live, self.seen, self.now_ms = service, live, seen, now_ms
        self.wanted, self.plan, self.account = service.wanted, plan, account
        self.nodes: dict[str, Node] = account.nodes
        self.ended = [each for each in seen.ended if each.instance.service == service.name]
        ended_ids = {each.instance.id for each in self.ended}
        self.starts = [it for it in plan.starts if it.service == service.name]
        self.new = [it for it in self.starts if it.id not in ended_ids]
        self.again = [it for it in self.starts if it.id in ended_ids]
        self.stops = [it for it in live if it.task_id in account.stopped]
        self.lacking = sum(it.missing for it in plan.lacks if it.service == service.name)
        self.rolls = [it for it in plan.rolls if it.service == service.name]
        self.gone = {
            it.task_id
            for it in live
            if it.node not in self.nodes or self.nodes[it.node].gone_since_ms
        }
        self.lost = {it.task_id for it in live if self._is_lost(it)}
        self.old = [
            it for it in live if it.version != service.version and it.task_id not in self.lost
        ]
        self.paused = service.rollout.state is Rolling.PAUSED
        self.rolling = bool(self.old) and not self.paused
        self.met: set[str] = set()

    def _is_lost(self, it: Instance) -> bool:
        after_ms = self.wanted.replace_after_ms
        if after_ms is None or it.task_id not in self.gone:
            return False
        node = self.nodes.get(it.node)
        return (node.gone_since_ms if node else 0) + after_ms <= self.now_ms

    def well(self, it: Instance) -> bool:
        """Says whether an instance does its work, as far as anybody can tell."""
        return it.task_id in self.gone - self.lost or (
            it.phase is Phase.HEALTHY and it.task_id not in self.gone
        )

    def counts(self, it: Instance) -> bool:
        """Says whether an update may count on it."""
        young = it.healthy_ms + self.wanted.update.healthy_ms > self.now_ms
        new_and_young = it.version == self.service.version and young
        return self.well(it) and (it.task_id in self.gone or not new_and_young)

    def check(self) -> None:
        """Judges what the plan does about the service."""
        if not self.seen.settled:
            require(not self.stops, "before all nodes are heard nothing ends", self.stops)
            require(not self.rolls, "before all nodes are heard nothing is judged", self.rolls)
        self._check_numbers()
        self._check_availability()
        self._check_the_lost()
        self._check_restarts()
        self._check_moves()
        self._check_rolls()
        self._check_load()

    # --- numbers ------------------------------------------------------------------------

    def _check_numbers(self) -> None:
        count = self.wanted.instances
        forgotten = sum(it.instance.task_id in self.plan.done for it in self.ended)
        before = len(self.live) + len(self.ended)
        after = before - len(self.stops) - forgotten + len(self.starts)
        surge = self.wanted.update.max_surge
        # What moves beside a failed update is one more than that.
        most = count + (surge if self.rolling else surge + 1 if self.paused else 1)
        require(after <= max(before, most), "not too many at once", after, most, self.service.name)
        if not self.rolls and not self.account.cut_short:
            lost = self.lost if self.seen.settled else set()
            stay = [it for it in self.live if it not in self.stops and it.task_id not in lost]
            short = count - len(stay) - len(self.starts) - self.lacking
            require(short <= 0, "what is missing starts, or it is said why not", short)
        self._check_nodes()
        if self.lacking:
            self.met.add("lack")

    def _check_nodes(self) -> None:
        most, name = self.wanted.max_per_node, self.service.name
        on = Counter(it.node for it in self.live)
        # What is left of one that starts again there is not another one.
        alive = {(it.node, it.id) for it in self.live}
        alive.update((it.instance.node, it.instance.id) for it in self.ended)
        left = [it for it in self.seen.remnants if it.service == name]
        on.update(it.node for it in left if (it.node, it.id) not in alive)
        for start in self.new:
            node = self.nodes[start.node]
            fits = not set(self.wanted.constraints) - set(node.labels)
            require(fits, "a node has what is asked for", start.node)
            on[start.node] += 1
            enough = not most or on[start.node] <= most
            require(enough, "no node has more of a service than it may", start.node, most)

    def _check_availability(self) -> None:
        does = self.counts if self.rolling else self.well
        ends = [it for it in self.stops if it.task_id not in self.gone and does(it)]
        if not ends:
            return
        left = [it for it in self.live if it not in self.stops]
        if self.rolling:
            floor = self.wanted.instances - self.wanted.update.max_unavailable
            self.met.add("rolling stop")
        else:
            floor = self.wanted.instances
        those = sum(does(it) for it in left)
        require(those >= floor, "never fewer well ones than there may be", those, floor, ends)

    def _check_the_lost(self) -> None:
        left = len(self.live) - len(self.stops) + len(self.ended) + len(self.new)
        for it in self.stops:
            if it.task_id in self.lost:
                self.met.add("lost")
                enough = left >= self.wanted.instances
                require(enough, "a lost one ends only if another takes over", it.id)
            elif it.task_id in self.gone:
                fewer = len(self.live) - len(self.lost) + len(self.ended) > self.wanted.instances
                require(fewer, "a node has its time to come back", it.id)
        if self.seen.settled and not self.rolls and not self.lacking and not self.account.cut_short:
            left = [it.id for it in self.live if it.task_id in self.lost and it not in self.stops]
            require(not left, "what is lost is replaced", left)

    # --- restarts -----------------------------------------------------------------------

    def _check_restarts(self) -> None:
        restart = self.wanted.restart
        for start in self.again:
            ends = [it for it in self.ended if it.instance.id == start.id]
            end = max(ends, key=lambda it: it.exit.ended_ms)
            before, exit = end.instance, end.exit
            quick = not exit.started_ms or exit.ended_ms - exit.started_ms < restart.reset_ms
            require(start.restarts == before.restarts + 1, "each restart is counted", start)
            require(start.last_exit == exit, "it is known how it ended", start)
            require(before.task_id in self.plan.done, "an end is followed once", start)
            wait = 0
            if quick and before.quick_restarts:
                wait = min(restart.max_ms, restart.initial_ms * 2 ** (before.quick_restarts - 1))
            require(
                start.not_before_ms == (self.now_ms + wait if wait else 0),
                "an end is followed after its wait",
                start,
                wait,
            )
            self.met.add("waited" if wait else "at once")

    # --- moves --------------------------------------------------------------------------

    def _check_moves(self) -> None:
        """Whoever has all that is wanted gets one more only to move one, and all must be well."""
        if self.rolling or self.ended or not self.new or self.paused:
            return
        surplus = len(self.live) - len(self.stops) + len(self.new) - self.wanted.instances
        if surplus > 0 and not any(it.task_id in self.lost for it in self.live):
            away = [it for it in self.live if self.account.to_leave(it, self.wanted)]
            unready = [it for it in self.live if not self.counts(it) or it.task_id in self.gone]
            require(not unready or bool(away), "nothing moves while anything is not well", unready)
            on = Counter(it.node for it in self.live)
            (new,) = self.new
            spread_by = self.wanted.spread_by
            uneven = bool(spread_by) or max(on.values()) - on[new.node] >= 2
            require(bool(away) or uneven, "a move makes the spread more even", on, new.node)
            self.met.add("leaves" if away else "relief")

    # --- updates ------------------------------------------------------------------------

    def _check_rolls(self) -> None:
        service = self.service
        for roll in self.rolls:
            self.met.add(roll.rollout.state.name)
            if roll.rollout.state in (Rolling.DONE, Rolling.RETURNED):
                ready = [it for it in self.live if self.counts(it) and it.task_id not in self.gone]
                whole = len(ready) == len(self.live) == self.wanted.instances and not self.old
                require(whole, "a change is done when all of it is well", roll, self.live)
            else:
                require(service.good is not None, "there is something to return to", roll)
                require(roll.back == self.wanted.update.returns, "as the policy has it", roll)

    # --- load ---------------------------------------------------------------------------

    def _check_load(self) -> None:
        """A much busier node gets one only if all idle ones would have two more than it has.

        Where nothing is under way, so that nothing else decides.
        """
        name = self.service.name
        passing = self.stops or self.ended or any(it.service == name for it in self.seen.remnants)
        if self.rolling or self.paused or passing or self.wanted.spread_by or self.lost:
            return
        if any(self.account.to_leave(it, self.wanted) for it in self.live):
            return
        on = Counter(it.node for it in self.live)
        for start in self.new:
            mine = self.nodes[start.node]
            for other in self.nodes.values():
                if (
                    other.cpu <= mine.cpu - BUSIER
                    and on[other.name] <= on[start.node] + 1
                    and self.account.takes(other, start, self.wanted, on[other.name])
                ):
                    require(False, "a busy node gets fewer", start.node, other.name, on)
            on[start.node] += 1
