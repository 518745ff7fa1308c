"""Which instance ends first where there are too many, and when one too many is meant.

Those that are not well go first, then those that are to leave their node, then always the youngest
on the fullest node: what is left is as even as can be.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice

from pullwork_master.reconciler.model import Instance, Phase
from pullwork_master.reconciler.standing import Standing, number_of


def fullest_first(
    standing: Standing, chosen: Iterable[Instance], most: int, before: Iterable[Instance] = ()
) -> Iterator[Instance]:
    """Yields at most so many, each time the youngest on the node with the most of the service.

    `before` have gone already.
    """
    if most <= 0:
        return
    spots, values = standing.board.spots, standing.board.values(standing.wanted.spread_by)
    on_node = Counter(each.node for each in standing.there)
    on_node.subtract(each.node for each in before)
    value = {name: values.get(name, "") for name in on_node}
    load = {name: (int(spots[name].load * 10) if name in spots else 0, name) for name in on_node}
    on_value: Counter[str] = Counter()
    for name, count in on_node.items():
        on_value[value[name]] += count
    waiting: defaultdict[str, list[tuple[int, int, str, Instance]]] = defaultdict(list)
    for each in chosen:
        # Two of one moment: that with the greater number is the younger.
        age = (-each.created_ms, -number_of(each.id)[0], each.task_id)
        waiting[each.node].append((*age, each))
    for line in waiting.values():
        heapq.heapify(line)
    for _ in range(most):
        if not waiting:
            return
        name = max(waiting, key=lambda it: (on_value[value[it]], on_node[it], load[it]))
        *_, each = heapq.heappop(waiting[name])
        if not waiting[name]:
            del waiting[name]
        on_node[name] -= 1
        on_value[value[name]] -= 1
        yield each


def shed(standing: Standing, surplus: int) -> list[Instance]:
    """Returns which end if so many are too many.

    During an update those new ones that don't count yet go before the old ones that do, and these
    before the new ones that have taken over.
    """
    if surplus <= 0:
        return []
    leaving = {each.task_id for each in standing.leaving()}
    gone = {each.task_id for each in standing.gone}
    young = {each.task_id for each in standing.unready} if standing.rolling else set()
    version = standing.service.version
    ranks: defaultdict[int, list[Instance]] = defaultdict(list)
    for each in standing.there:
        if each.task_id in gone:
            rank = 0
        elif each.phase is not Phase.HEALTHY:
            rank = 1
        elif each.version == version and each.task_id in young:
            rank = 2
        elif each.task_id in leaving:
            rank = 3
        else:
            rank = 4 if each.version != version and standing.rolling else 5
        ranks[rank].append(each)
    ended: list[Instance] = []
    for rank in sorted(ranks):
        left = surplus - len(ended)
        ended += list(islice(fullest_first(standing, ranks[rank], left, ended), left))
    return ended


def meant_surplus(standing: Standing) -> int:
    """Returns how many may be too many for the time being, since something is to take over.

    One, while it is not ready: for an instance that is to leave its node, or that the fullest
    node is to be relieved of.
    """
    pending = [*standing.unready, *(each.instance for each in standing.ended)]
    if not pending:
        return 0
    leaving = {each.task_id for each in standing.leaving()}
    if any(each.task_id in leaving for each in standing.ready):
        return 1
    return int(standing.resting and _relieves(standing, pending))


def _relieves(standing: Standing, pending: Iterable[Instance]) -> bool:
    """Says whether one that is not ready yet makes the spread more even than it is without it."""
    values = standing.board.values(standing.wanted.spread_by)
    on_node = Counter(each.node for each in standing.ready)
    on_value: Counter[str] = Counter()
    for name, count in on_node.items():
        on_value[values[name]] += count
    for each in pending:
        value = values.get(each.node)
        if value is None:
            continue
        if max(on_value.values(), default=0) - on_value[value] >= 2:
            return True
        beside = (count for name, count in on_node.items() if values[name] == value)
        if max(beside, default=0) - on_node[each.node] >= 2:
            return True
    return False
