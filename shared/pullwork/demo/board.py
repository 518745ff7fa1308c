"""What the demo knows of the job as it goes on; the display reads it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class WorkerLine:
    """One worker, as the display shows it."""

    name: str
    pid: int
    state: str = "starts"
    held: int = 0
    done: int = 0


@dataclass
class Board:
    """The counts of the job, its workers, and what happened."""

    total: int = 0
    waiting: int = 0
    running: int = 0
    done: int = 0
    failed: list[str] = field(default_factory=list)
    repeated: int = 0
    words: Counter[str] = field(default_factory=Counter)
    workers: dict[str, WorkerLine] = field(default_factory=dict)
    stage: str = ""
    started: float = field(default_factory=time.monotonic)
    job_started: float = 0.0
    job_ended: float = 0.0
    on_event: Callable[[str], None] = lambda _message: None

    def event(self, message: str) -> None:
        """Tells people what happened."""
        self.on_event(message)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self.started

    @property
    def job_s(self) -> float:
        """Seconds since the tasks were submitted, until the last one ended."""
        if not self.job_started:
            return 0.0
        return (self.job_ended or time.monotonic()) - self.job_started

    @property
    def rate(self) -> float:
        """Tasks ended a second, over the whole job."""
        return self.done / self.job_s if self.job_s > 0 else 0.0

    @property
    def share(self) -> float:
        """The done share of the job, 0 to 1."""
        return self.done / self.total if self.total else 0.0
