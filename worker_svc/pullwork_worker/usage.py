"""How much of its node a worker sees in use: of the machine, or of its control group's bound.

In a container, or in a systemd unit with a quota, the machine's processor tells little: the
group may be at its bound while the machine is idle. Both are measured, and the fuller one counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Final

import psutil

from pullwork_worker.config import default_slots

_GROUPS: Final = Path("/sys/fs/cgroup")
_OF_THIS_PROCESS: Final = Path("/proc/self/cgroup")
# Version 1 says "no bound" by a number of about this size.
_NO_BOUND: Final = 1 << 60


@dataclass
class _CpuBound:
    """A group that may use so many cores, and when and what it had used at the last look."""

    cores: float
    # Its counter and how many of it are a second.
    counter: Path
    of_second: float
    looked_s: float = field(default=0.0)
    used_s: float = field(default=0.0)

    def share(self, now_s: float) -> float:
        """Returns the share in use since the last look."""
        used_s = _counted(self.counter) / self.of_second
        passed_s, spent_s = now_s - self.looked_s, used_s - self.used_s
        self.looked_s, self.used_s = now_s, used_s
        return spent_s / (passed_s * self.cores) if passed_s > 0 else 0.0


class Usage:
    """Measures from its making on. What control groups bound is read once, then."""

    def __init__(
        self, now_s: float, *, groups: Path = _GROUPS, of_process: Path = _OF_THIS_PROCESS
    ) -> None:
        paths = dict(_paths(groups, of_process))
        self._cpus = [bound for path in paths.get("cpu", []) for bound in _cpu_bounds(path, paths)]
        self._memories = [path for path in paths.get("memory", []) if _memory_bound(path)]
        # Not psutil's own, which remembers one last look for the whole process: a worker may have
        # two sessions, each with looks of its own.
        self._busy_s, self._all_s = 0.0, 0.0
        self.cpu(now_s)  # the first answer measures from here

    def cpu(self, now_s: float) -> float:
        """Returns the share of the processor in use since the last call, 0 to 1."""
        shares = [bound.share(now_s) for bound in self._cpus]
        return min(1.0, max(self._machine(), *shares, 0.0))

    def _machine(self) -> float:
        times = psutil.cpu_times()
        # Linux counts what its guests take twice, and waiting for a disk is no work.
        all_s = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        busy_s = all_s - times.idle - getattr(times, "iowait", 0.0)
        passed_s, spent_s = all_s - self._all_s, busy_s - self._busy_s
        self._all_s, self._busy_s = all_s, busy_s
        return spent_s / passed_s if passed_s > 0 else 0.0

    def capacity(self) -> tuple[float, int]:
        """Returns the processor cores and the bytes of memory that there are to use."""
        cores = [bound.cores for bound in self._cpus]
        bytes_max = filter(None, map(_memory_bound, self._memories))
        all_bytes = psutil.virtual_memory().total
        return min([float(default_slots()), *cores]), int(min([all_bytes, *bytes_max]))

    def memory(self) -> float:
        """Returns the share of the memory in use, 0 to 1."""
        # A bound may be lifted while it works.
        shares = [_memory_used(path) / (_memory_bound(path) or inf) for path in self._memories]
        return min(1.0, max(psutil.virtual_memory().percent / 100, *shares, 0.0))


def _paths(groups: Path, of_process: Path) -> Iterator[tuple[str, list[Path]]]:
    """Yields for each controller the groups that this process is in, the innermost first."""
    for line in _text(of_process).splitlines():
        _, names, inside = line.split(":", 2)
        for name in names.split(",") if names else ("cpu", "memory"):
            # Version 2 has one tree for all, version 1 one for each controller.
            root = groups / name if names else groups
            own = root / inside.strip("/")
            if not own.is_dir():
                # A container sees its own group as the root, but reads its path outside.
                own = root
            # Where both versions are mounted, the tree without controllers has no such files.
            if names or (own / "cgroup.controllers").exists():
                between = own.relative_to(root).parts
                yield name, [root.joinpath(*between[:at]) for at in range(len(between), -1, -1)]


def _cpu_bounds(group: Path, paths: dict[str, list[Path]]) -> Iterator[_CpuBound]:
    quota, _, period = _text(group / "cpu.max").strip().partition(" ")
    if quota.isdigit():
        yield _CpuBound(int(quota) / int(period), group / "cpu.stat", 1e6)
        return
    allowed = _counted(group / "cpu.cfs_quota_us")
    if allowed <= 0:
        return
    # The same group in the tree of the controller that counts.
    up = paths["cpu"].index(group)
    for counted in paths.get("cpuacct", [])[up : up + 1]:
        cores = allowed / (_counted(group / "cpu.cfs_period_us") or 1e5)
        yield _CpuBound(cores, counted / "cpuacct.usage", 1e9)


def _memory_bound(group: Path) -> float:
    bound = _counted(group / "memory.max") or _counted(group / "memory.limit_in_bytes")
    return bound if 0 < bound < _NO_BOUND else 0.0


def _memory_used(group: Path) -> float:
    used = _counted(group / "memory.current") or _counted(group / "memory.usage_in_bytes")
    # Files that nobody has read for long are given back before anything is short of memory.
    stat = group / "memory.stat"
    return used - (_counted(stat, "total_inactive_file") or _counted(stat, "inactive_file"))


def _counted(file: Path, name: str = "usage_usec") -> float:
    """Reads a number, alone in its file or after a name; 0 where there is none."""
    for line in _text(file).splitlines():
        words = line.split()
        if len(words) == 1 or words[:1] == [name]:
            try:
                return float(words[-1])
            except ValueError:
                return 0.0  # "max"
    return 0.0


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except OSError:
        return ""
