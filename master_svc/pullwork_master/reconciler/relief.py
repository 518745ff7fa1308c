"""What a node that joined takes over from the fullest.

It is a matter of numbers alone: load keeps a busy node from being given more, but moves nothing, or
instances would follow each load to and fro. After each move the spread is more even than before, so
there is an end to it.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from pullwork_master.reconciler.placement import Choice, Spot
from pullwork_master.reconciler.standing import Standing

# A node is given nothing of others before it was there for so long: it may be gone again soon.
JOINED_FOR_MS: Final = 10_000
# The difference that is worth a move.
UNEVEN: Final = 2


def relieving_node(standing: Standing) -> Spot | None:
    """Returns the node that one instance of a service is to move to; None: all is even enough.

    Nothing is moved while an update is under way or anything is not ready.
    """
    wanted = standing.wanted
    if not (
        standing.resting
        and len(standing.ready) == len(standing.all_live) == wanted.instances
        and not standing.ended
    ):
        return None
    on_node = Counter(each.node for each in standing.ready)
    spots = standing.board.spots
    if not wanted.spread_by:
        # The usual case, without a closer look: there is nobody who has so many fewer.
        most = max(on_node.values(), default=0)
        if most < UNEVEN or all(most - on_node.get(name, 0) < UNEVEN for name in spots):
            return None
    if standing.leaving():
        return None
    return _chosen(standing, standing.choice(wanted))


def _chosen(standing: Standing, choice: Choice) -> Spot | None:
    spread = choice.spread
    most_on_value = max(spread.on_value.values(), default=0)
    most_beside: Counter[str] = Counter()
    for name, count in spread.on_node.items():
        value = spread.value[name]
        most_beside[value] = max(most_beside[value], count)
    found: list[tuple[bool, int, tuple[object, ...], Spot]] = []
    for spot in choice.spots:
        on_value, on_node, *_ = score = choice.score(spot)
        among = most_on_value - on_value
        beside = most_beside[spread.value[spot.node.name]] - on_node
        if max(among, beside) < UNEVEN or not choice.fits(spot):
            continue
        ripe_ms = spot.node.joined_ms + JOINED_FOR_MS
        if ripe_ms > standing.now_ms:
            standing.look_again(ripe_ms)
            continue
        found.append((among < UNEVEN, -max(among, beside), score, spot))
    return min(found, key=lambda each: each[:3])[3] if found else None
