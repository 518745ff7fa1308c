"""The folder of one process instance: what its shim is told, and what it tells.

All that outlives a worker stands here, so a worker that starts again finds it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from pullwork_worker.services import shim
from pullwork_worker.services.order import InvalidOrderError, Order, order_of
from pullwork_worker.services.runner import Line, Scope

_PAYLOAD: Final = "instance.pb"


def scope_folder(state: Path, scope: Scope) -> Path:
    """Returns where the instances of a cluster and node stand."""
    return state / quote(scope.cluster, safe="") / quote(scope.node, safe="")


class InstanceFolder:
    """One instance's files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self, order: Order, told: dict[str, Any]) -> None:
        """Writes what the shim is to run, into a folder that is empty before."""
        self.remove()
        # It has the environment, which nobody else is to read.
        (self.path / "work").mkdir(parents=True, mode=0o700)
        self.path.chmod(0o700)
        (self.path / _PAYLOAD).write_bytes(order.payload)
        shim.write(str(self.path), "order.json", told | {"cwd": str(self.path / "work")})

    def order(self) -> Order | None:
        """Returns what it is; None if that can't be read."""
        try:
            return order_of(self.path.name, (self.path / _PAYLOAD).read_bytes())
        except (OSError, InvalidOrderError):
            return None

    def read(self, name: str) -> dict[str, Any]:
        """Returns one of its documents; empty if it is not there."""
        try:
            document = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def lives(self) -> bool:
        """Returns whether its shim lives: it alone holds the lock."""
        if not (self.path / "lock").exists():
            return False
        try:
            lock = shim.locked(str(self.path))
        except FileNotFoundError:
            return False
        if lock is not None:
            os.close(lock)
        return lock is None

    def program(self) -> int:
        """Returns the number of the program while it runs; 0: it does not, or nobody knows.

        A number that another process has by now is known by when that one started.
        """
        started = self.read("started.json")
        pid, ticks = int(started.get("pid", 0)), int(started.get("pid_ticks", 0))
        return pid if pid and ticks and shim.start_ticks(pid) == ticks else 0

    def remove(self) -> None:
        """Removes it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    @property
    def log(self) -> Path:
        """The file that its output goes to; when that is full it becomes `log.1`."""
        return self.path / "log.0"

    def last_lines(self, count: int, end: int | None = None) -> list[Line]:
        """Returns the last lines of its log, up to a place in its newer file."""
        newer = _last(self.log, count, end)
        return [*_last(self.path / "log.1", count - len(newer), None), *newer]


def instances_in(folder: Path) -> Iterator[InstanceFolder]:
    """Yields the instances of a cluster and node."""
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                yield InstanceFolder(path)


def line_of(raw: bytes) -> Line | None:
    """Reads a line as the shim writes it; None for what is none."""
    time_ms, _, rest = raw.partition(b" ")
    stream, _, text = rest.partition(b" ")
    if not time_ms.isdigit():
        return None
    return Line(int(time_ms), stream == b"2", text.decode(errors="replace"))


def _last(path: Path, count: int, end: int | None) -> list[Line]:
    """Reads a file from its end, or from a place in it, backwards, as far as the lines need."""
    if count <= 0:
        return []
    data, step = b"", 65536
    try:
        with path.open("rb") as file:
            at = file.seek(0, os.SEEK_END) if end is None else end
            while at > 0 and data.count(b"\n") <= count:
                step, at = min(step, at), max(0, at - step)
                file.seek(at)
                data = file.read(step) + data
    except OSError:
        return []
    raw = data.split(b"\n")[:-1]
    found = [line_of(it) for it in raw[-count:]]
    return [it for it in found if it is not None]
