"""Why an instance has no place, for people: the same words as long as it is the same reason.

Nothing in it counts what changes all the time, such as how much is free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pullwork_master.reconciler.model import Runner, Wanted
from pullwork_master.reconciler.placement import Choice, Spot, offers

MIB = 1024 * 1024
NAMES_MAX = 3


def why_none(choice: Choice) -> str:
    """Returns why no node takes one more."""
    board, wanted = list(choice.board.spots.values()), choice.wanted
    spots = [spot for spot in board if spot.reachable]
    if not spots:
        away = f": {counted(len(board))} can't be reached" if board else ""
        return f"no node is connected{away}"
    offering = [spot for spot in spots if wanted.runner in spot.node.runners]
    if not offering:
        return f"no node offers {offers(wanted.runner)}; {_remedy(wanted.runner)}"
    for constraint in wanted.constraints:
        if not any(constraint in spot.node.labels for spot in offering):
            idle = any(constraint in spot.node.labels for spot in spots)
            that = f" that offers {offers(wanted.runner)}" if idle else ""
            return f"constraint {'='.join(constraint)}: no node{that} has it"
    matching = [spot for spot in offering if spot.matches(wanted)]
    if not matching:
        labels = " and ".join("=".join(each) for each in wanted.constraints)
        return f"constraints {labels}: no node has all of them"
    return _of_those_that_match(choice, matching, away=len(board) - len(spots))


def why_no_step(choice: Choice) -> str:
    """Returns why an update can't go on, and what to do about it."""
    return f"no room for one more while the old ones run{_give_way(choice)}: {why_none(choice)}"


def why_no_update(choice: Choice, within: str) -> str:
    """Returns why an update came to nothing, and what to do about it."""
    return f"no place for a new instance {within}{_give_way(choice)}: {why_none(choice)}"


def _give_way(choice: Choice) -> str:
    unbending = not choice.wanted.update.max_unavailable
    return " (let max_unavailable be 1, then they give way first)" if unbending else ""


def _remedy(runner: Runner) -> str:
    return f"start a worker with --offer {runner.value}"


def _of_those_that_match(choice: Choice, spots: Sequence[Spot], away: int) -> str:
    found: dict[str, list[Spot]] = {}
    checks = _checks(choice)
    for spot in spots:
        why = next((name for name, fails in checks if fails(spot)), "unknown")
        found.setdefault(why, []).append(spot)
    among = "" if len(spots) + away == len(choice.board.spots) else " that may take it"
    of_all = counted(len(spots)) + among
    gone = f"; {counted(away)} can't be reached" if away else ""
    if len(found) == 1:
        why, every = next(iter(found.items()))
        return _single(why, choice, every, of_all) + gone
    parts = [_part(name, choice, found[name]) for name, _ in checks if name in found]
    return f"{of_all}: {', '.join(parts)}{gone}"


def _checks(choice: Choice) -> list[tuple[str, Callable[[Spot], object]]]:
    wanted = choice.wanted
    return [
        ("drains", lambda spot: spot.node.draining),
        ("full", lambda spot: spot.taken >= spot.node.instances_max),
        ("port", lambda spot: spot.port_taken(wanted)),
        ("most", choice.has_most),
        ("memory", lambda spot: spot.lacks_memory(wanted)),
        ("cpus", lambda spot: spot.lacks_cpus(wanted)),
    ]


def _single(why: str, choice: Choice, spots: Sequence[Spot], of_all: str) -> str:
    """Says one reason that holds for all of them."""
    wanted = choice.wanted
    if why == "most":
        return f"max_per_node {wanted.max_per_node} and {of_all}"
    if why == "port":
        port = min(spot.port_taken(wanted) for spot in spots)
        return f"port {port} is taken on every node, by {_holders(spots, wanted)}"
    one = len(spots) == 1
    return (
        f"{of_all}, "
        + {
            "drains": "and it drains" if one else "all drain",
            "full": f"{'and it takes' if one else 'none takes'} "
            f"{'no' if one else 'any'} more instances",
            "memory": f"{'without' if one else 'none has'} {_mib(wanted)} free",
            "cpus": f"{'without' if one else 'none has'} {_cpus(wanted)} free",
        }[why]
    )


def _part(why: str, choice: Choice, spots: Sequence[Spot]) -> str:
    """Says one reason among several."""
    wanted, count = choice.wanted, len(spots)
    return {
        "drains": f"{count} drain{'s' if count == 1 else ''}",
        "full": f"{count} take{'s' if count == 1 else ''} no more instances",
        "port": f"on {count} a port is taken by {_holders(spots, wanted)}",
        "most": f"{count} ha{'s' if count == 1 else 've'} max_per_node {wanted.max_per_node}",
        "memory": f"{count} without {_mib(wanted)} free",
        "cpus": f"{count} without {_cpus(wanted)} free",
    }[why]


def _holders(spots: Sequence[Spot], wanted: Wanted) -> str:
    names = sorted({spot.ports[port] for spot in spots if (port := spot.port_taken(wanted))})
    more = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
    return ", ".join(names[:NAMES_MAX]) + more


def counted(nodes: int) -> str:
    """Returns a number of nodes in words."""
    return f"{nodes} node{'' if nodes == 1 else 's'}"


def _mib(wanted: Wanted) -> str:
    return f"{-(-wanted.memory_bytes // MIB)} MiB"


def _cpus(wanted: Wanted) -> str:
    return f"{wanted.cpus:g} cpu{'' if wanted.cpus == 1 else 's'}"
