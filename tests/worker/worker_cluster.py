"""Real masters and workers, as the tests of services start them, with our own functions."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "service"))

from cluster import Cluster, Process, until  # noqa: E402

__all__ = ["Process", "WorkerCluster", "until"]


class WorkerCluster(Cluster):
    """A cluster whose workers take their settings from the environment."""

    def held_worker(self, name: str = "worker", **settings: str) -> Process:
        """Starts a worker of held_tasks; settings by the names of its variables."""
        env = {f"PULLWORK_WORKER_{key}": value for key, value in settings.items()}
        env |= {"PULLWORK_WORKER_NAME": name, "PULLWORK_WORKER_TASKS": "held_tasks"} | env
        env |= {"PULLWORK_ADDRESS": self.address, "PYTHONPATH": str(HERE)}
        return self._start(name, ["pullwork_worker"], env)
