"""What goes wrong, and when: drawn from the seed before it begins, and mended when it ends."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pullwork_master.core import commands as c
from simulator.events import MS
from simulator.profile import CROWD

if TYPE_CHECKING:
    from simulator.world import World


class Faults:
    """Hurts a world."""

    def __init__(self, world: World, dice: random.Random) -> None:
        self._world = world
        self._dice = dice
        self._strangers = 0
        self._hurt: dict[str, Callable[[], None]] = {
            "worker dies": self._worker_dies,
            "worker loses power": self._worker_loses_power,
            "worker freezes": self._worker_freezes,
            "master dies": self._master_dies,
            "master freezes": self._master_freezes,
            "link resets": self._link_resets,
            "link is cut": self._link_is_cut,
            "link is cut one way": self._link_is_cut_one_way,
            "wall clock jumps": self._wall_clock_jumps,
            "disk is full": self._disk_is_full,
            "operator": self._operator,
            "name is taken": self._name_is_taken,
            "crowd comes": self._crowd_comes,
        }

    def plan(self) -> None:
        """Sets each kind of fault at random moments."""
        world, dice = self._world, self._dice
        for kind, often in world.profile.faults.items():
            for _ in range(dice.randint(1, max(1, round(2 * often - 1)))):
                at = int(dice.random() * world.profile.busy_for)
                world.events.after(at, None, self._happen, kind)

    def _happen(self, kind: str) -> None:
        if not self._world.quiet:
            self._hurt[kind]()

    def mend_all(self) -> None:
        """Ends every fault: what was hurt may heal."""
        world = self._world
        world.disk.full = world.disk.low = False
        for node in (world.master, *world.all_workers):
            world.events.thaw(node, early=True)
        for wire in world.wires:
            wire.faulty = False
            wire.mend()
        if not world.master.up:
            world.master.start()

    # --- workers ------------------------------------------------------------------------

    def _worker(self) -> Any:
        living = [each for each in self._world.all_workers if each.up]
        return self._dice.choice(living) if living else None

    def _worker_dies(self) -> None:
        worker = self._worker()
        if worker is not None:
            worker.crash("SIGKILL")

    def _worker_loses_power(self) -> None:
        worker = self._worker()
        if worker is not None:
            worker.crash("no power", power=True)

    def _worker_freezes(self) -> None:
        worker = self._worker()
        if worker is not None:
            self._tell(f"{worker.name} freezes")
            worker.freeze(self._world.events.now + self._while())

    def _name_is_taken(self) -> None:
        worker, other = self._worker(), self._worker()
        if worker is not None and worker is not other:
            worker.says = other.says
            worker.crash(f"to start again as {other.says}")

    # --- the master ---------------------------------------------------------------------

    def _master_dies(self) -> None:
        world = self._world
        if not world.master.up:
            return
        gentle = world.profile.gentle
        if gentle and world.events.now - world.master.disturbed_at < 4 * world.profile.heartbeat:
            return
        self._tell("the master dies")
        world.events.thaw(world.master, early=True)
        world.master.die()
        for wire in world.wires:
            wire.master_died()
        wait = self._dice.choice((10 * MS, 500 * MS, 500 * MS if gentle else self._while()))
        world.events.after(wait, None, self._master_starts)

    def _master_starts(self) -> None:
        if not self._world.master.up:
            self._world.master.start()

    def _master_freezes(self) -> None:
        world = self._world
        wait = self._while()
        lease = world.profile.lease_of(world.profile.policy.heartbeat_ms)
        if world.profile.gentle:  # longer, and workers rightly stop what they run
            wait = min(wait, lease * 7 // 10)
            if world.events.now - world.master.disturbed_at < lease:
                return
        if not world.master.up:
            return
        self._tell("the master freezes")
        until = world.events.now + wait
        world.events.freeze(world.master, until)
        world.master.disturbed_at = until
        for wire in world.wires:
            wire.peer_stands_still(world.master)
            wire.disturbed_at = until

    def _wall_clock_jumps(self) -> None:
        jump_ms = self._dice.choice((-3_600_000, 3_600_000, -1_000, 1_000))
        self._tell(f"the wall clock jumps {jump_ms} ms")
        self._world.master.wall_off_ms += jump_ms

    def _disk_is_full(self) -> None:
        world, disk = self._world, self._world.disk
        disk.low = True
        disk.full = self._dice.random() < 0.7
        disk.shows_full = self._dice.random() < 0.5
        self._tell("the disk is full" if disk.full else "the disk is nearly full")
        world.events.after(self._dice.randint(1, 3_000) * MS, None, self._disk_has_room)

    def _disk_has_room(self) -> None:
        disk = self._world.disk
        disk.full = disk.low = False
        self._world.master.disturbed_at = self._world.events.now

    # --- the network --------------------------------------------------------------------

    def _link_resets(self) -> None:
        self._tell("a link resets")
        self._dice.choice(self._world.wires).reset()

    def _link_is_cut(self) -> None:
        self._cut(True, True)

    def _link_is_cut_one_way(self) -> None:
        up = self._dice.random() < 0.5
        self._cut(up, not up)

    def _cut(self, up: bool, down: bool) -> None:
        wire = self._dice.choice(self._world.wires)
        self._tell(f"{wire.node.name} is cut", f"up {up}", f"down {down}")
        wire.cut(up, down)
        self._world.events.after(self._while(), None, wire.mend)

    # --- people -------------------------------------------------------------------------

    def _crowd_comes(self) -> None:
        """Many who can do nothing of what there is to do join, and leave after a while."""
        world, dice = self._world, self._dice
        sessions: list[str] = []

        def joined(answer: Any, error: str) -> None:
            if isinstance(answer, c.Registered):
                sessions.append(answer.session.id)

        def leave() -> None:
            for session in sessions:
                world.client.ask(c.Deregister(session, "only looked"), lambda *_: None)

        crowd = dice.randint(*CROWD)
        self._tell(f"a crowd of {crowd} comes")
        for _ in range(crowd):
            self._strangers += 1
            name = f"stranger{self._strangers}"
            world.client.ask(c.Register(name, name, ("elsewhere",), ("nothing",), 1), joined)
        # Some stay until everybody's interval has grown by them.
        stay = dice.choice((0, 10 * world.profile.heartbeat))
        world.events.after(self._while() + stay, None, leave)

    def _operator(self) -> None:
        world, dice = self._world, self._dice
        worker = self._worker()
        if dice.random() < 0.7 or worker is None:
            world.client.meddle()
            return
        worker.wire.disturb()
        act = c.Drain(worker.says) if dice.random() < 0.5 else c.Evict(worker.says)
        world.client.ask(act, lambda *_: worker.wire.disturb())

    def _while(self) -> int:
        """Draws how long a fault lasts: a moment, about a heartbeat, or beyond the lease."""
        profile = self._world.profile
        most = self._dice.choice(
            (
                800 * MS,
                2 * profile.heartbeat,
                int(1.5 * profile.lease_of(profile.policy.heartbeat_ms)),
            )
        )
        return self._dice.randint(10 * MS, most)

    def _tell(self, *words: str) -> None:
        world = self._world
        if world.story.told:
            world.story.tell(world.events.now, "fault", *words)
