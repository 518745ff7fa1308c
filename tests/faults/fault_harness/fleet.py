"""The processes of a trial: the cluster of tests/service, with settings and ways to start.

A way is what a process is started under: a network namespace, a clock that jumps, a build
with a planted bug.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from cluster import Cluster, Process

from fault_harness.executions import FOLDER

HERE = Path(__file__).parents[1]
SERVICE = HERE.parent / "service"


@dataclass(frozen=True)
class Settings:
    """What a master sets for its workers, in seconds."""

    heartbeat: float
    grace: float
    silence_grace: float

    @property
    def silence_s(self) -> float:
        """How long a worker may say nothing before it is doubted."""
        return 3 * self.heartbeat

    @property
    def eviction_s(self) -> float:
        """How long a worker that says nothing keeps its leases."""
        return self.silence_s + self.silence_grace

    def __str__(self) -> str:
        return f"{self.heartbeat:g}/{self.grace:g}/{self.silence_grace:g} s"


# What an operator gets who sets nothing.
DEFAULTS = Settings(heartbeat=5.0, grace=1.0, silence_grace=10.0)
# So that a short trial sees in seconds what these see in half a minute.
BRISK = Settings(heartbeat=0.5, grace=0.5, silence_grace=1.5)


@dataclass(frozen=True)
class Way:
    """How one process is started."""

    prefix: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    # Takes the place of the service's own module; its name is then the first argument.
    module: str = ""


class Fleet(Cluster):
    """Starts processes by their ways."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        super().__init__(folder)
        self.settings = settings
        self.ways: dict[str, Way] = {}

    def _start(self, name: str, arguments: list[str], more_env: dict[str, str]) -> Process:
        way = self.ways.get(name, Way())
        env = {key: value for key, value in os.environ.items() if not key.startswith("PULLWORK_")}
        path = [str(HERE), str(SERVICE), env.get("PYTHONPATH", "")]
        env |= {
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "PYTHONUNBUFFERED": "1",
            FOLDER: str(self.folder),
            "PULLWORK_MASTER_HEARTBEAT": str(self.settings.heartbeat),
            "PULLWORK_MASTER_GRACE": str(self.settings.grace),
            "PULLWORK_MASTER_SILENCE_GRACE": str(self.settings.silence_grace),
        }
        words = [*way.module.split(), *arguments] if way.module else arguments
        process = Process(name, words, env | more_env | way.env, self.folder)
        if way.prefix:
            process.preceded_by(*way.prefix)
        process.start()
        self._processes.append(process)
        return process
