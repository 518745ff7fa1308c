"""How much of what waits may be in memory, over all lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pullwork_master.core.model import Task

if TYPE_CHECKING:
    from pullwork_master.core.ready import Line


class Room:
    """Bounds on what lines hold in memory, and the lines of which a page is due."""

    def __init__(self, line_tasks: int, line_bytes: int, bytes_max: int) -> None:
        self.line_tasks = line_tasks
        self.bytes_max = bytes_max
        self._line_bytes = line_bytes
        self._lines: dict[tuple[str, str], Line] = {}
        # Bytes of all lines, and what one line may hold.
        self.weight = 0
        self.share = line_bytes
        self.hungry: dict[tuple[str, str], None] = {}

    def enter(self, line: Line) -> None:
        """Takes note of a line that holds tasks in memory."""
        self._lines[line.name] = line
        self._divide()

    def leave(self, line: Line) -> None:
        """Takes note of a line that holds none any more."""
        del self._lines[line.name]
        self._divide()

    def _divide(self) -> None:
        # Half of it, so that what was cut down may grow a while before it is cut again.
        part = self.bytes_max // (2 * max(1, len(self._lines)))
        self.share = max(1, min(self._line_bytes, part))

    def shrink(self) -> list[Task]:
        """Cuts every line down to its share; returns what is now on disk alone."""
        return [task for line in list(self._lines.values()) for task in line.shrink()]
