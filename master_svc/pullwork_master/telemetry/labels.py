"""The labels of metrics, bounded: whoever keeps the series must not drown in names."""

from __future__ import annotations

from typing import Final

# Pairs of queue and type that are told apart, first come; the rest is one, under `OTHER`.
LINES_MAX: Final = 200
OTHER: Final = "other"

Labels = dict[str, str]


class LineLabels:
    """Gives queue and type their labels."""

    def __init__(self, lines_max: int = LINES_MAX) -> None:
        self._lines_max = lines_max
        self._known: dict[tuple[str, str], tuple[str, str]] = {}

    def pair(self, queue: str, type: str) -> tuple[str, str]:
        """Returns queue and type, or twice `OTHER` if there are too many."""
        line = (queue, type)
        known = self._known.get(line)
        if known is None:
            if len(self._known) >= self._lines_max:
                return OTHER, OTHER
            known = self._known[line] = line
        return known

    def known(self) -> list[tuple[str, str]]:
        """Returns the pairs that have labels of their own, in the order in which they came."""
        return list(self._known)


def labels(pair: tuple[str, str], **more: str) -> Labels:
    """Returns the labels of a line."""
    return {"queue": pair[0], "type": pair[1], **more}
