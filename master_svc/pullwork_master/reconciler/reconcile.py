"""Wanted and seen in, a plan out: one turn for each service.

It remembers nothing: whatever it must know of before stands in the instances and the services. So
it can be asked at any time, by a master that has just started too, and the same world gets the
same plan.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable
from typing import Final

from pullwork_master.reconciler.model import Ended, Instance, Plan, Remnant, Seen, Service, Stop
from pullwork_master.reconciler.placement import Board
from pullwork_master.reconciler.relief import relieving_node
from pullwork_master.reconciler.standing import Standing
from pullwork_master.reconciler.turn import Bounds, Turn

# Instances that move at once to even out the spread, over all services.
MOVES_MAX: Final = 2


def reconcile(services: Iterable[Service], seen: Seen, now_ms: int) -> Plan:
    """Returns what to do now about the difference between what is wanted and what is seen."""
    plan, board, bounds = Plan(), Board(seen), Bounds()
    wanted = {service.name: service for service in services}
    _end_the_deleted(wanted, seen, plan, bounds)
    live: defaultdict[str, list[Instance]] = defaultdict(list)
    ended: defaultdict[str, list[Ended]] = defaultdict(list)
    remnants: defaultdict[str, list[Remnant]] = defaultdict(list)
    for instance in seen.instances:
        live[instance.service].append(instance)
    for end in seen.ended:
        ended[end.instance.service].append(end)
    for remnant in seen.remnants:
        remnants[remnant.service].append(remnant)
    turns: list[Turn] = []
    for name in sorted(wanted):
        standing = Standing(wanted[name], board, live[name], ended[name], remnants[name], now_ms)
        turn = Turn(standing, plan, bounds)
        if seen.settled:
            turn.take()
        else:
            turn.take_unsettled()
        turns.append(turn)
    if seen.settled:
        _relieve(turns)
    moments = [turn.standing.next_ms for turn in turns if turn.standing.next_ms]
    # What was too much for one plan goes on at once.
    plan.next_ms = now_ms + 1 if bounds.reached else min(moments, default=0)
    return plan


def _end_the_deleted(wanted: Container[str], seen: Seen, plan: Plan, bounds: Bounds) -> None:
    """Ends what is of no service that there is."""
    for instance in seen.instances:
        if instance.service not in wanted and bounds.may_stop():
            plan.stops.append(Stop(instance.task_id, "its service was deleted"))
    plan.done += [end.instance.task_id for end in seen.ended if end.instance.service not in wanted]


def _relieve(turns: list[Turn]) -> None:
    """Moves a few instances to nodes that have fewer than others."""
    free = MOVES_MAX - sum(turn.standing.resting and turn.standing.missing < 0 for turn in turns)
    for turn in turns:
        if free <= 0:
            return
        spot = relieving_node(turn.standing)
        if spot is not None and turn.start_on(spot):
            free -= 1
