"""What one seed draws before it begins: sizes, times, and which faults it will meet.

A seed meets few kinds of faults, each often: so what needs two of a kind in a row is found,
and a story stays readable. Gentle seeds meet only what must go unnoticed, and a law says so.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from pullwork_master.core.limits import Policy
from simulator.events import MS, SECOND
from simulator.limits import Change, draw_limits

# Kinds of faults and how many of each a seed that has it meets, on the average.
FAULTS: Final = {
    "worker dies": 2.0,
    "worker loses power": 1.0,
    "worker freezes": 2.0,
    "master dies": 2.0,
    "master freezes": 1.5,
    "link resets": 3.0,
    "link is cut": 2.0,
    "link is cut one way": 2.0,
    "wall clock jumps": 2.0,
    "disk is full": 1.5,
    "operator": 3.0,
    "name is taken": 1.0,
    "crowd comes": 1.5,
}
CALL_FAULTS: Final = ("request lost", "reply lost", "request twice", "request late")
# How many come at once, and change everybody's interval by it.
CROWD: Final = (10, 30)
# Faults that must cost no task anything.
GENTLE: Final = ("link resets", "master freezes", "master dies", "wall clock jumps", "crowd comes")


@dataclass(slots=True)
class Profile:
    """The frame of one run; times in microseconds unless they say otherwise."""

    policy: Policy
    gentle: bool = False
    faults: dict[str, float] = field(default_factory=dict)
    # Chance of each fault of a single call.
    call_faults: dict[str, float] = field(default_factory=dict)
    workers: int = 2
    plain_workers: int = 0
    # Chance of a dead worker to come back under another name.
    renamed: float = 0.0
    slots: int = 1
    look_ahead_max: int = 0
    tasks: int = 8
    # Shares of what tasks do; the rest succeed.
    deeds: dict[str, float] = field(default_factory=dict)
    busy_for: int = 20 * SECOND
    latency: tuple[int, int] = (1 * MS, 30 * MS)
    commit: tuple[int, int] = (1 * MS, 20 * MS)
    run: tuple[int, int] = (5 * MS, 1500 * MS)
    limits: tuple[Change, ...] = ()

    @property
    def heartbeat(self) -> int:
        """The interval of heartbeats in a fleet that is small enough to keep it."""
        return self.policy.heartbeat_ms * MS

    @property
    def slowest(self) -> int:
        """The longest interval that is told, with as many dead sessions as living ones."""
        crowd = CROWD[1] if "crowd comes" in self.faults else 0
        return self.policy.interval_ms(2 * (self.workers + self.plain_workers) + crowd) * MS

    def lease_of(self, interval_ms: int) -> int:
        """How long a worker with this interval may be out of contact.

        As the contract has it; reckoned here, so that the core may be wrong about it.
        """
        return (3 * interval_ms + self.policy.silence_grace_ms) * MS

    # As the worker's session and the channel have them, in the same proportion to the heartbeat.

    @property
    def call_timeout(self) -> int:
        """How long a call may take."""
        return 3 * self.heartbeat

    @property
    def park(self) -> int:
        """How long a request may be parked."""
        return 4 * self.heartbeat

    @property
    def keepalive(self) -> tuple[int, int]:
        """The least and the most until a dead connection is noticed."""
        return self.heartbeat, 3 * self.heartbeat


def draw(dice: random.Random) -> Profile:
    """Draws the frame of a run."""
    heartbeat_ms = dice.choice((1_000, 1_000, 2_000, 5_000))
    policy = Policy(
        heartbeat_ms=heartbeat_ms,
        # In half of the worlds each worker that comes or goes changes everybody's interval.
        beat_gap_ms=dice.choice((5, 5, heartbeat_ms // 2, heartbeat_ms)),
        grace_ms=1_000,
        silence_grace_ms=2 * heartbeat_ms,
        window_tasks=dice.choice((2, 4, 100)),
        retention_ms=dice.choice((3_600_000, 3_600_000, 2 * heartbeat_ms)),
        sweep_tasks=dice.choice((1, 3, 100)),
        sweep_every_ms=2 * heartbeat_ms,
    )
    heartbeats = dice.choice((8, 12, 12, 20))
    profile = Profile(
        policy,
        limits=draw_limits(dice),
        renamed=dice.choice((0.0, 0.0, 1.0)),
        slots=dice.choice((1, 1, 2, 4)),
        look_ahead_max=dice.choice((0, 0, 4)),
        tasks=dice.choice((4, 8, 12, 20)),
        busy_for=heartbeats * heartbeat_ms * MS,
        run=(5 * MS, dice.choice((50 * MS, 1_000 * MS, 1_000 * MS, 2 * heartbeat_ms * MS))),
        latency=(1 * MS, dice.choice((2 * MS, 30 * MS, 200 * MS))),
        commit=(1 * MS, dice.choice((2 * MS, 20 * MS, 300 * MS))),
    )
    nodes = dice.choice(((1, 0), (2, 0), (2, 0), (3, 0), (4, 0), (1, 1), (2, 1), (0, 1), (0, 2)))
    profile.workers, profile.plain_workers = nodes
    if dice.random() < 0.25:
        _gentle(profile, dice)
        return profile
    for fault, often in FAULTS.items():
        if dice.random() < 0.3:
            profile.faults[fault] = often
    if dice.random() < 0.5:
        for fault in CALL_FAULTS:
            if dice.random() < 0.5:
                profile.call_faults[fault] = dice.choice((0.02, 0.1, 0.3))
    for deed in ("fails", "deadly", "kills worker", "hangs", "stubborn", "long"):
        if dice.random() < 0.3:
            profile.deeds[deed] = dice.choice((0.1, 0.4))
    return profile


def _gentle(profile: Profile, dice: random.Random) -> None:
    """Nothing that a worker or a task may notice: a law holds for these seeds alone."""
    profile.gentle = True
    # A plain worker can't repeat a request: a reset may cost it tickets that were on their way.
    profile.workers, profile.plain_workers = max(1, profile.workers), 0
    for fault in GENTLE:
        if dice.random() < 0.5:
            profile.faults[fault] = FAULTS[fault]
    profile.latency = (1 * MS, 30 * MS)
    profile.commit = (1 * MS, 20 * MS)
    for deed in ("fails", "long"):
        if dice.random() < 0.5:
            profile.deeds[deed] = 0.3
