"""One run: a master, its workers and a client, hurt for a while and then left to heal."""

from __future__ import annotations

import random
from typing import Final

from pullwork_master.core import commands as c
from pullwork_master.core.model import State
from simulator.client import Client
from simulator.disk import Disk
from simulator.events import MS, SECOND, Events, Node
from simulator.faults import Faults
from simulator.jobs import Jobs
from simulator.laws import Laws
from simulator.limits import QUEUES
from simulator.liveness import Liveness
from simulator.master import Master
from simulator.plain import PlainWorker
from simulator.profile import draw
from simulator.story import Story, require
from simulator.wire import Wire
from simulator.worker import Worker

# The dear checks are made at every so many steps while seeds are hunted.
EVERY: Final = 4
# How long a world may take to come to rest, beside what its tasks and leases take.
REST: Final = 60 * SECOND


class World:
    """Everything of one seed."""

    def __init__(self, seed: int, *, told: bool = False, every: int = EVERY) -> None:
        dice = random.Random(seed)
        self.seed = seed
        self.story = Story(told)
        self.events = Events()
        self.profile = profile = draw(dice)
        self.quiet = False
        self.disk = Disk()
        self.jobs = Jobs(dice, profile)
        self.laws = Laws(self.disk, profile, every)
        self.master = Master(self.events, dice, profile, self.disk, self.story)
        self.master.laws = self.laws
        self.liveness = Liveness(self.events, profile, self.laws, self.master, self.jobs)
        self.master.liveness = self.liveness
        common = (self.events, dice, profile, self.jobs, self.story)
        self.workers = [Worker(f"w{each + 1}", *common) for each in range(profile.workers)]
        plain = range(profile.plain_workers)
        self.plain_workers = [PlainWorker(f"p{each + 1}", *common) for each in plain]
        self.all_workers: list[Worker | PlainWorker] = [*self.workers, *self.plain_workers]
        self.client = Client(self.events, dice, profile, self.jobs, self.disk, self.story)
        self.liveness.workers = self.workers
        self.liveness.plain_workers = self.plain_workers
        self.wires: list[Wire] = []
        for node in (*self.all_workers, self.client):
            node.wire = self._wire(node, dice)
        for worker in self.all_workers:
            worker.laws = self.laws
            worker.liveness = self.liveness
        self.faults = Faults(self, dice)
        self._dice = dice
        if told:
            self.story.tell(0, "profile", "", profile)

    def _wire(self, node: Node, dice: random.Random) -> Wire:
        wire = Wire(node, self.master, self.events, dice, self.profile)
        self.wires.append(wire)
        return wire

    def run(self) -> None:
        """Runs the seed to its end. Errors: BrokenLawError and the core's own."""
        events, profile = self.events, self.profile
        # Either may be there first.
        events.after(self._dice.choice((0, 0, 2 * SECOND)), None, self.faults._master_starts)
        for worker in self.all_workers:
            events.after(self._dice.randint(0, 3_000) * MS, worker, worker.start)
        self.client.start()
        self.faults.plan()
        gap = profile.heartbeat // 2
        events.run(2 * SECOND)
        while events.now < profile.busy_for + 2 * SECOND:
            events.run(events.now + gap)
            self._look()
        self._come_to_rest(gap)

    def _look(self) -> None:
        self.liveness.look()
        if self.master.up:
            self.client.watch()

    def _come_to_rest(self, gap: int) -> None:
        """Mends everything: whatever was acknowledged must then end, and soon."""
        self.quiet = True
        if self.story.told:
            self.story.tell(self.events.now, "world", "is mended")
        self.faults.mend_all()
        for worker in self.all_workers:
            worker.rest()
        for queue in QUEUES:
            self.client.insist(c.SetPaused(queue, False))
            if self.profile.limits:
                # What may run at once is bounded to the end; slow rates would take too long.
                rates = {"rate": 0.0, "rate_per_key": 0.0}
                self.client.insist(c.SetLimits(queue, rates))
        due = self.events.now + self._healing()
        while (left := self._unrested()) and self.events.now < due:
            self._set_wall_right()
            self.events.run(self.events.now + gap)
            self._look()
        require(not left, "in the end everything ends, and everybody is in contact", left)
        self.events.run(self.events.now + SECOND)  # what is just being settled
        self.laws.check_all()
        self._check_watch()

    def _healing(self) -> int:
        profile = self.profile
        lease = profile.lease_of(profile.slowest // MS)
        deaths = 3 * (lease + 4 * SECOND) if "kills worker" in profile.deeds else 0
        work = profile.tasks * (4 * profile.slowest + 4 * SECOND)
        return work + REST + 4 * lease + 8 * profile.slowest + deaths

    def _set_wall_right(self) -> None:
        """Delays count by the wall clock, which may have been set back since."""
        master = self.master
        waiting = [t.ready_ms for t in self.disk.tasks.values() if t.state is State.SCHEDULED]
        behind_ms = max(waiting, default=0) - master.now().wall_ms
        if behind_ms > 5_000:
            master.wall_off_ms += behind_ms

    def _unrested(self) -> str:
        client = self.client
        if client.open or client.unsubmitted:
            return "the client waits for answers"
        for task in self.disk.tasks.values():
            if not task.state.ended:
                return f"{task.spec.id} is {task.state.name}, attempt {task.attempt}"
        return self.liveness.at_peace()

    def _check_watch(self) -> None:
        """Whoever watched has seen every end."""
        self.client.watch()
        for task in self.disk.tasks.values():
            seen = self.client.ends.get(task.seq, {})
            require(
                seen.get(task.revision) is task.state,
                "a watcher misses no end",
                task.spec.id,
                task.state.name,
            )
