"""The virtual time: one heap of what happens next, and the nodes that it happens to.

Times are whole microseconds. Events of one moment happen in the order in which they were asked
for, so nothing depends on anything but the seed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, Final

from simulator.story import require

MS: Final = 1_000
SECOND: Final = 1_000_000
# Who does more than this in one moment goes round in a circle.
AT_ONCE_MAX: Final = 10_000


class Node:
    """A process that may die, be frozen, and start again."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.up = False
        # Grows with each death: what was asked for by an earlier life does not happen.
        self.life = 0
        # It stands still, until when; and what happened to it meanwhile.
        self.frozen = False
        self.thaw_at = 0
        self.door: list[Item] = []

    def die(self) -> None:
        """Takes away whatever the process had still to do."""
        self.up = False
        self.life += 1


Item = tuple[int, int, Node | None, int, Callable[..., None], Any]


class Events:
    """The heap of what happens next."""

    def __init__(self) -> None:
        self.now = 0
        self.happened = 0
        self._heap: list[Item] = []
        self._asked = 0

    def after(self, wait: int, node: Node | None, call: Callable[..., None], *args: Any) -> None:
        """Has something happen after a while, if the node's present life lasts so long."""
        self._asked += 1
        life = node.life if node is not None else 0
        heapq.heappush(self._heap, (self.now + wait, self._asked, node, life, call, args))

    def outlast(self, wait: int, node: Node, call: Callable[..., None], *args: Any) -> None:
        """Has something happen to a node, whichever life it lives then."""
        self._asked += 1
        heapq.heappush(self._heap, (self.now + wait, self._asked, node, -1, call, args))

    def freeze(self, node: Node, until: int) -> None:
        """Stops a node for a while: what happens to it waits at its door."""
        node.frozen = True
        node.thaw_at = max(node.thaw_at, until)
        self.after(node.thaw_at - self.now, None, self.thaw, node)

    def thaw(self, node: Node, *, early: bool = False) -> None:
        """Lets a node go on, if it is time; also one that died meanwhile."""
        if not node.frozen or (self.now < node.thaw_at and not early):
            return
        node.frozen = False
        node.thaw_at = self.now
        door, node.door = node.door, []
        for _, _, _, life, call, args in door:
            self._asked += 1
            heapq.heappush(self._heap, (self.now, self._asked, node, life, call, args))

    def run(self, until: int) -> None:
        """Lets everything happen up to a moment."""
        heap, moment, before = self._heap, self.now, self.happened
        while heap and heap[0][0] <= until:
            item = heapq.heappop(heap)
            self.now, _, node, life, call, args = item
            if self.now > moment:
                moment, before = self.now, self.happened
            require(self.happened - before < AT_ONCE_MAX, "time goes on", call.__qualname__)
            if node is not None:
                if node.frozen:
                    node.door.append(item)
                    continue
                if life >= 0 and life != node.life:
                    continue
            self.happened += 1
            call(*args)
        self.now = until

    def __len__(self) -> int:
        return len(self._heap)
