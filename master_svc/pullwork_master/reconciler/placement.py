"""Which node takes the next instance.

A board is every node with what it has: room, ports and instances, those included that a plan has
just placed. A choice is for one service: among the nodes that suit it and have room, that with
the lowest score. docs/reconciler.md explains the formula.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from typing import Final, NamedTuple

from pullwork_master.reconciler.model import Node, Phase, Runner, Seen, Wanted

# A node that is so much busier than the idlest carries an instance that nobody sees, and another
# for each such share beyond that: what is less never disturbs an even spread.
BUSIER: Final = 0.25
# Shares of processors are sums of decimals.
EPSILON: Final = 1e-6
NO_ROOM: Final = (0.0, 0)
# It is not known yet how much these take.
UNMEASURED: Final = frozenset({Phase.PENDING, Phase.PULLING, Phase.STARTING})


class Spot:
    """A node with what it has, and with what a plan places on it."""

    __slots__ = ("cpus", "fresh", "load", "memory_bytes", "node", "ports", "taken")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.load = max(node.cpu, node.memory)
        self.taken = 0
        # How many of these are too new to be measured.
        self.fresh = 0
        self.cpus = 0.0
        self.memory_bytes = 0
        # Who has a port.
        self.ports: dict[int, str] = {}

    @property
    def reachable(self) -> bool:
        """Whether something can be asked of it."""
        return not self.node.gone_since_ms

    def suits(self, wanted: Wanted) -> bool:
        """Says whether such an instance may start here, if there is room."""
        node = self.node
        return (
            self.reachable
            and not node.draining
            and wanted.runner in node.runners
            and (self.matches(wanted))
        )

    def matches(self, wanted: Wanted) -> bool:
        """Says whether the node has the labels that are asked for."""
        return not wanted.constraints or not set(wanted.constraints) - set(self.node.labels)

    def has_room(self, wanted: Wanted) -> bool:
        """Says whether one more such instance fits."""
        return (
            self.taken < self.node.instances_max
            and not self.lacks_memory(wanted)
            and not self.lacks_cpus(wanted)
            and not self.port_taken(wanted)
        )

    def lacks_memory(self, wanted: Wanted) -> bool:
        """Says whether too little memory is left of what instances may take."""
        limit = self.node.memory_bytes
        return (
            bool(limit and wanted.memory_bytes) and self.memory_bytes + wanted.memory_bytes > limit
        )

    def lacks_cpus(self, wanted: Wanted) -> bool:
        """Says whether too little of the processor is left of what instances may take."""
        limit = self.node.cpus
        return bool(limit and wanted.cpus) and self.cpus + wanted.cpus > limit + EPSILON

    def port_taken(self, wanted: Wanted) -> int:
        """Returns the first port that somebody has already; 0: all are free."""
        return next((port for port in wanted.host_ports if port in self.ports), 0)

    def take(self, id: str, ports: Iterable[int], cpus: float, memory_bytes: int) -> None:
        """Counts what one more takes."""
        self.taken += 1
        self.cpus += cpus
        self.memory_bytes += memory_bytes
        for port in ports:
            self.ports.setdefault(port, id)


class Board:
    """All nodes by name, with what they have."""

    def __init__(self, seen: Seen) -> None:
        self._suited: dict[tuple[object, ...], Suited] = {}
        self._values: dict[str, dict[str, str]] = {}
        nodes = sorted(seen.nodes, key=lambda node: node.name)
        self.spots = {node.name: Spot(node) for node in nodes}
        # What follows an instance on its node under its id has taken over its place: what is left
        # of the one before takes nothing of its own.
        held: set[tuple[str, str]] = set()
        for each in seen.instances:
            held.add((each.node, each.id))
            self._count(each.task_id, each.id, each.node, seen)
            if each.phase in UNMEASURED and each.node in self.spots:
                self.spots[each.node].fresh += 1
        for ended in seen.ended:
            it = ended.instance
            held.add((it.node, it.id))
            self._count(it.task_id, it.id, it.node, seen)
        for remnant in seen.remnants:
            if (remnant.node, remnant.id) not in held:
                self._count(remnant.task_id, remnant.id, remnant.node, seen)

    def _count(self, task_id: str, id: str, node: str, seen: Seen) -> None:
        spot = self.spots.get(node)
        if spot is not None:
            spot.take(id, seen.host_ports.get(task_id, ()), *seen.room.get(task_id, NO_ROOM))

    def suited(self, wanted: Wanted) -> Suited:
        """Returns which nodes may be chosen, the same for all services that ask for the same."""
        key = (wanted.runner, wanted.constraints, wanted.spread_by)
        found = self._suited.get(key)
        if found is None:
            spots = [spot for spot in self.spots.values() if spot.suits(wanted)]
            idlest = min((spot.load for spot in spots), default=0.0)
            burden = {spot.node.name: unseen(spot.load - idlest) for spot in spots}
            # A value's own burden is that of its idlest node.
            of_value: dict[str, int] = {}
            values = self.values(wanted.spread_by)
            for name, count in burden.items():
                of_value[values[name]] = min(of_value.get(values[name], count), count)
            found = self._suited[key] = Suited(spots, burden, of_value)
        return found

    def values(self, spread_by: str) -> dict[str, str]:
        """Returns by node where it stands for the spread: the value of a label, or its name."""
        found = self._values.get(spread_by)
        if found is None:
            found = {name: value_of(spot, spread_by) for name, spot in self.spots.items()}
            self._values[spread_by] = found
        return found


class Suited(NamedTuple):
    """Nodes that may be chosen, and as how many instances their load counts."""

    spots: list[Spot]
    unseen: dict[str, int]
    unseen_on_value: dict[str, int]


Score = tuple[int, int, int, int, int, str]


class Spread:
    """How many of one service are on each node, and on each value of what they are spread by.

    `passing` are on a node only until something else has happened; they take its room.
    """

    def __init__(
        self, board: Board, spread_by: str, staying: Iterable[str], passing: Iterable[str]
    ) -> None:
        self.value = board.values(spread_by)
        self.on_node = Counter(staying)
        self.passing = Counter(passing)
        self.on_value: Counter[str] = Counter()
        for name, count in self.on_node.items():
            self.on_value[self.value.get(name, "")] += count

    def came(self, name: str) -> None:
        """Counts one more on a node."""
        self.on_node[name] += 1
        self.on_value[self.value.get(name, "")] += 1

    def went(self, name: str) -> None:
        """Counts one less on a node."""
        self.on_node[name] -= 1
        self.on_value[self.value.get(name, "")] -= 1


class Choice:
    """Chooses nodes for instances of one service that are made of one thing."""

    def __init__(self, board: Board, wanted: Wanted, spread: Spread) -> None:
        self.board = board
        self.wanted = wanted
        self.spread = spread
        self.spots, self.unseen, self.unseen_on_value = board.suited(wanted)

    def fits(self, spot: Spot) -> bool:
        """Says whether a node that suits takes one more of them."""
        return spot.has_room(self.wanted) and not self.has_most(spot)

    def has_most(self, spot: Spot) -> bool:
        """Says whether a node has as many of the service as it may."""
        most, name = self.wanted.max_per_node, spot.node.name
        return bool(most) and self.spread.on_node[name] + self.spread.passing[name] >= most

    def score(self, spot: Spot) -> Score:
        """Returns how little a node is to be chosen: spread first, then load, then its name."""
        name, spread = spot.node.name, self.spread
        value = spread.value[name]
        return (
            spread.on_value[value] + self.unseen_on_value[value],
            spread.on_node[name] + self.unseen[name],
            spread.passing[name],
            int(spot.load * 10) + spot.fresh,
            spot.taken,
            name,
        )

    def best(self, avoid: Container[str] = ()) -> Spot | None:
        """Returns the node for the next; None: there is none."""
        found: Spot | None = None
        least: Score | None = None
        for spot in self.spots:
            if spot.node.name in avoid or not self.fits(spot):
                continue
            score = self.score(spot)
            if least is None or score < least:
                found, least = spot, score
        return found

    def take(self, spot: Spot, id: str) -> None:
        """Counts an instance that was placed."""
        wanted = self.wanted
        spot.take(id, wanted.host_ports, wanted.cpus, wanted.memory_bytes)
        spot.fresh += 1
        self.spread.came(spot.node.name)


def unseen(busier: float) -> int:
    """Returns as how many instances it counts that a node is so much busier than the idlest."""
    return max(0, int(round(busier, 2) / BUSIER + EPSILON) - 1)


def value_of(spot: Spot, spread_by: str) -> str:
    """Returns where a node stands for the spread: the value of a label, or its name."""
    if not spread_by:
        return spot.node.name
    return next((value for key, value in spot.node.labels if key == spread_by), "")


def offers(runner: Runner) -> str:
    """Names in the plural what a runner runs."""
    return {Runner.CONTAINER: "containers", Runner.PROCESS: "processes"}[runner]
