"""A control group that gives what runs in it so much of a processor, and no more."""

from __future__ import annotations

import os
from pathlib import Path

from cluster import until

from fault_harness.fault import Missing

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000


class Bounded:
    """One group; version 2 has one folder for it, version 1 one for each controller."""

    def __init__(self, name: str, cores: float) -> None:
        if os.geteuid() != 0:
            raise Missing("a control group of one's own needs root")
        quota = int(cores * PERIOD_US)
        if (ROOT / "cgroup.controllers").exists():
            self._folders = [ROOT / name]
            bounds = {"cpu.max": f"{quota} {PERIOD_US}"}
            self._let_down(ROOT / "cgroup.subtree_control")
        elif (ROOT / "cpu").is_dir():
            self._folders = [ROOT / "cpu" / name, ROOT / "cpuacct" / name]
            bounds = {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(quota)}
        else:
            raise Missing("this machine has no control groups")
        for folder in dict.fromkeys(it.resolve() for it in self._folders):
            folder.mkdir(exist_ok=True)
        for file, text in bounds.items():
            (self._folders[0] / file).write_text(text)

    def _let_down(self, control: Path) -> None:
        try:
            control.write_text("+cpu")
        except OSError as error:
            raise Missing(f"the processor can't be bounded here: {error}") from error

    def prefix(self) -> tuple[str, ...]:
        """Returns the words under which a program starts in it."""
        moves = " && ".join(f"echo $$ > {folder}/cgroup.procs" for folder in self._folders)
        return ("sh", "-c", f'{moves} && exec "$@"', "sh")

    async def close(self) -> None:
        """Removes it, as soon as nothing runs in it any more."""
        await until(self._gone, "nothing runs in the control group")

    def _gone(self) -> bool:
        for folder in dict.fromkeys(it.resolve() for it in self._folders):
            try:
                if folder.exists():
                    folder.rmdir()
            except OSError:
                return False
        return True
