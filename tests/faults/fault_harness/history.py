"""What the client did and saw, written outside the system as it happens.

An append-only file; the checker reads nothing else about submissions and ends.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pullwork.task_info import TaskInfo

NAME = "history.jsonl"


@dataclass(frozen=True, slots=True)
class End:
    """How the master said that a task ended; `result` is what `executions` call so."""

    task_id: str
    state: str
    attempt: int
    revision: int
    result: str | None = None

    @classmethod
    def of(cls, task: TaskInfo) -> End:
        """Takes it from what a client was told."""
        result = None
        if task.result is not None and task.result.data:
            result = str(json.loads(task.result.data))
        return cls(task.id, str(task.state), task.attempt, task.revision, result)


class History:
    """The file, open for writing."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._file = self.path.open("a", encoding="utf-8")

    def attempted(self, ids: Iterable[str]) -> None:
        """Notes that tasks are about to be submitted."""
        self._write("attempted", ids=list(ids))

    def acknowledged(self, ids: Iterable[str]) -> None:
        """Notes that the master said that it has them."""
        self._write("acknowledged", ids=list(ids))

    def ended(self, end: End) -> None:
        """Notes that the master told of an end."""
        self._write("ended", end=asdict(end))

    def fault(self, name: str, what: str) -> None:
        """Notes what was done to the system."""
        self._write("fault", name=name, did=what)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write(self, what: str, **facts: Any) -> None:
        self._file.write(json.dumps({"t": time.monotonic(), "what": what} | facts) + "\n")
        self._file.flush()


def read_history(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the lines in their order."""
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
