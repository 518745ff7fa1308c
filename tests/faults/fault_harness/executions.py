"""What task functions write of themselves: one line at the start, one at the end.

A file for each process, outside the system, so that nothing which the master or a worker says
is needed to know what ran. The lines survive the death of their process.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = "FAULTS_FOLDER"
NAMES = "executions-*.jsonl"


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a task function; `ended` is None where its process did not get so far."""

    task_id: str
    attempt: int
    pid: int
    serial: int
    started: float
    ended: float | None

    @property
    def result(self) -> str:
        """What it returned: a mark that no other execution has."""
        return f"{self.attempt}:{self.pid}:{self.serial}"


class ExecutionLog:
    """The file of this process."""

    def __init__(self, folder: Path) -> None:
        self.pid = os.getpid()
        path = folder / f"executions-{self.pid}-{time.monotonic_ns()}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._serial = itertools.count(1)

    def start(self, task_id: str, attempt: int) -> int:
        """Notes that a function begins; returns the number of this execution."""
        serial = next(self._serial)
        self._write(serial, task=task_id, attempt=attempt)
        return serial

    def end(self, serial: int, attempt: int) -> str:
        """Notes that it returns now; gives what it returns."""
        self._write(serial, ended=True)
        return f"{attempt}:{self.pid}:{serial}"

    def _write(self, serial: int, **facts: object) -> None:
        line = {"t": time.monotonic(), "pid": self.pid, "serial": serial} | facts
        # One call of write: lines of several threads do not mix.
        os.write(self._file, (json.dumps(line) + "\n").encode())


@dataclass
class _Begun:
    task_id: str
    attempt: int
    started: float
    ended: float | None = field(default=None)


def read_executions(folder: Path) -> Iterator[Execution]:
    """Yields every execution that any process noted."""
    for path in sorted(folder.glob(NAMES)):
        begun: dict[tuple[int, int], _Begun] = {}
        for line in path.read_text().splitlines():
            facts = json.loads(line)
            key = (facts["pid"], facts["serial"])
            if "task" in facts:
                begun[key] = _Begun(facts["task"], facts["attempt"], facts["t"])
            else:
                begun[key].ended = facts["t"]
        for (pid, serial), it in begun.items():
            yield Execution(it.task_id, it.attempt, pid, serial, it.started, it.ended)
