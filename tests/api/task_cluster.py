"""Masters and workers as real processes, as the tests of services start them."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "service"))

from cluster import Cluster, Process, until  # noqa: E402

__all__ = ["Process", "TaskCluster", "until"]


class TaskCluster(Cluster):
    """A cluster whose workers run sample_tasks, and whose masters may be set otherwise."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder)
        self._settings = {f"PULLWORK_MASTER_{name}": value for name, value in settings.items()}

    def task_worker(
        self, name: str = "worker", module: str = "sample_tasks", path: Path = HERE
    ) -> Process:
        """Starts a worker of a module's tasks; it registers by itself."""
        flags = ["--tasks", module, "--name", name, "--slots", "50"]
        env = {"PULLWORK_ADDRESS": self.address, "PYTHONPATH": str(path)}
        return self._start(name, ["pullwork_worker", *flags], env)

    def _start(self, name: str, arguments: list[str], more_env: dict[str, str]) -> Process:
        return super()._start(name, arguments, more_env | self._settings)
