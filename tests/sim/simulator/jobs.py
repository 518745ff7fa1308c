"""What the tasks of a run are and what each attempt of them does, as the seed has it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pullwork_master.core.flows import flow_of
from pullwork_master.core.model import Retry, Spec
from pullwork_worker.machine.ticket import Kind
from simulator.events import MS
from simulator.limits import KEYS, QUEUES
from simulator.profile import Profile

KINDS: Final = {
    "child": Kind.CHILD,
    "loop": Kind.LOOP,
    "thread": Kind.THREAD,
    "command": Kind.COMMAND,
}
TYPES: Final = tuple(KINDS)


class Deed(StrEnum):
    """What an attempt does in the end."""

    SUCCEEDS = "succeeds"
    FAILS = "fails"
    DEADLY = "deadly"  # kills the child process that it runs in
    KILLS_WORKER = "kills worker"
    HANGS = "hangs"  # until it is told to stop, or killed
    STUBBORN = "stubborn"  # hangs, and does not listen
    LONG = "long"  # says now and then that it is alive


@dataclass(frozen=True, slots=True)
class Job:
    """A task and what becomes of its attempts."""

    spec: Spec
    deed: Deed
    # FAILS does so this many times, then succeeds.
    times: int


class Jobs:
    """All tasks of a run, by id."""

    def __init__(self, dice: random.Random, profile: Profile) -> None:
        self._dice = dice
        self._profile = profile
        # Of its own, so that runs without limits go as if there were none.
        self._keys = random.Random(repr(profile.limits))
        self.by_id: dict[str, Job] = {}

    def make(self) -> Spec:
        """Thinks of a task."""
        dice, profile = self._dice, self._profile
        number = len(self.by_id) + 1
        deed = self._deed()
        heartbeat_ms = profile.policy.heartbeat_ms
        bounded = deed in (Deed.HANGS, Deed.STUBBORN)
        timeout_ms = dice.choice((heartbeat_ms, 2 * heartbeat_ms))
        by_progress = bounded and dice.random() < 0.5
        type_ = dice.choice(TYPES)
        if deed is Deed.DEADLY:
            type_ = "child"
        plain = dice.random() < 0.6
        spec = Spec(
            id=f"t{number}",
            queue="default" if plain else dice.choice(QUEUES),
            type=type_,
            priority=0 if plain else dice.choice((0, 5)),
            execution_timeout_ms=timeout_ms if bounded and not by_progress else 0,
            progress_timeout_ms=self._progress_timeout_ms(deed, timeout_ms, by_progress),
            retry=Retry(dice.choice((1, 2, 4)), 200, 1_000, 2.0),
            max_worker_deaths=dice.choice((1, 2, 3)),
            owner="client",
            retention_ms=profile.policy.retention_ms,
            unique_key="" if plain else dice.choice(("", "u1", "u2")),
            digest=b"%d" % number,
            limit_key=(limit_key := self._keys.choice(KEYS) if profile.limits else ""),
            flow=flow_of("client", limit_key),
        )
        self.by_id[spec.id] = Job(spec, deed, dice.randint(1, 3))
        return spec

    def _progress_timeout_ms(self, deed: Deed, timeout_ms: int, by_progress: bool) -> int:
        policy = self._profile.policy
        if deed is Deed.LONG:  # says so often enough, also through a pause that is not excused
            return policy.heartbeat_ms + policy.pause_ms + 1_500
        return timeout_ms + policy.heartbeat_ms if by_progress else 0

    def _deed(self) -> Deed:
        roll = self._dice.random()
        for deed, share in self._profile.deeds.items():
            if roll < share:
                return Deed(deed)
            roll -= share
        return Deed.SUCCEEDS

    def run_time(self, job: Job) -> int:
        """Draws how long an attempt takes."""
        if job.deed is Deed.LONG:
            return 3 * self._profile.heartbeat
        least, most = self._profile.run
        roll = self._dice.random()
        return least + int((most - least) * roll * roll) + MS
