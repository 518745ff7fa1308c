"""The master: it sees what nodes tell, asks the reconciler, and performs the plan later."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final

from pullwork_master.reconciler import reconcile as reconciler
from pullwork_master.reconciler.model import (
    Ended,
    Exit,
    Instance,
    Lack,
    Node,
    Phase,
    Plan,
    Remnant,
    Roll,
    Seen,
    Service,
    Start,
    Wanted,
)
from services_simulator.fleet import Fleet
from services_simulator.laws import Laws
from services_simulator.parts import ALL, Machine, Task, instance_of

# How long a master that has just started waits for the nodes of what it knows.
GRACE_MS: Final = 3_000


class Loop:
    """The master's memory, and its loop. Services and tasks stand on disk and outlive it."""

    def __init__(self, fleet: Fleet, dice: random.Random, laws: Laws) -> None:
        self.fleet = fleet
        self.clock = fleet.clock
        self._dice = dice
        self.laws = laws
        self.services: dict[str, Service] = {}
        self.ended: dict[str, Ended] = {}
        self._revision = 0
        self._tasks = 0
        # Grows with each start: what an earlier master had still to do does not happen.
        self._life = 0
        self._began_ms = 0
        self._looks = False
        self._alarm_ms = 0
        # What the last plan had no place for.
        self.lacks: list[Lack] = []
        # The world is hurt no more: nothing is lost on the way.
        self.quiet = False
        fleet.stir = self.stir
        fleet.take_end = self.take_end

    def revision(self) -> int:
        """Returns one that was never given out."""
        self._revision += 1
        return self._revision

    # --- what it hears ------------------------------------------------------------------

    def stir(self) -> None:
        """Something has changed: it will look."""
        if self.fleet.master_up and not self._looks:
            self._looks = True
            self.clock.after(self._dice.choice((1, 5, 40)), self._look, self._life)

    def take_end(self, task: Task, exit: Exit) -> None:
        """Takes note that a task ended by itself."""
        self.ended[task.task_id] = Ended(instance_of(task, Phase.FAILED, 0), exit)

    def die(self) -> None:
        """Forgets all that is not on disk; comes back after a while."""
        self._life += 1
        self._looks = False
        self._alarm_ms = 0
        self.fleet.master_up = False
        self.ended.clear()
        for machine in self.fleet.machines.values():
            machine.heard = False
            machine.known_since_ms = 0
            machine.told = {}
        self.clock.after(self._dice.randint(50, 1_500), self._begin)

    def _begin(self) -> None:
        self.fleet.master_up = True
        self._began_ms = self.clock.now
        self.fleet.tell("master", "starts")
        for machine in self.fleet.machines.values():
            machine.gone_since_ms = self.clock.now
            if machine.linked:
                self.clock.after(self._dice.randint(0, 800), self.fleet.sync, machine)
        self.clock.after(GRACE_MS, self.stir)
        self.stir()

    # --- what it sees -------------------------------------------------------------------

    def seen(self) -> Seen:
        """Returns what there is, as the master knows it."""
        now, fleet = self.clock.now, self.fleet
        instances: list[Instance] = []
        remnants: list[Remnant] = []
        ports: dict[str, tuple[int, ...]] = {}
        room: dict[str, tuple[float, int]] = {}
        settled = True
        known: list[Node] = []
        for machine in fleet.machines.values():
            if machine.reachable:
                machine.tell()
            elif fleet.live_on(machine) and not machine.heard:
                settled = False
            known += self._node(machine)
            for task_id, told in machine.told.items():
                task = told.task
                ports[task_id], room[task_id] = task.ports, task.room
                if not task.live:
                    start = task.start
                    remnants.append(Remnant(task_id, start.id, start.service, start.node))
        for task in fleet.tasks.values():
            if task.live or task.task_id in self.ended:
                ports[task.task_id], room[task.task_id] = task.ports, task.room
            if task.live:
                instances.append(self._instance(task, now))
        return Seen(
            instances=tuple(instances),
            ended=tuple(self.ended.values()),
            remnants=tuple(remnants),
            nodes=tuple(known),
            host_ports=ports,
            room=room,
            settled=settled or now >= self._began_ms + GRACE_MS,
        )

    def _node(self, machine: Machine) -> list[Node]:
        if not machine.heard and not machine.linked and not self.fleet.live_on(machine):
            return []
        reachable = machine.reachable
        node = Node(
            name=machine.name,
            runners=machine.runners if reachable or machine.heard else ALL - ALL,
            labels=machine.labels if reachable or machine.heard else (),
            cpu=machine.cpu,
            memory=machine.cpu / 2,
            cpus=machine.cpus,
            memory_bytes=machine.memory_bytes,
            instances_max=machine.instances_max,
            draining=machine.draining,
            gone_since_ms=0 if reachable else machine.gone_since_ms or self._began_ms or 1,
            joined_ms=machine.joined_ms,
        )
        return [node]

    def _instance(self, task: Task, now: int) -> Instance:
        told = self.fleet.machines[task.start.node].told.get(task.task_id)
        if told is not None:
            return instance_of(task, told.phase, told.healthy_ms)
        waits = task.start.not_before_ms > now
        return instance_of(task, Phase.FAILED if waits else Phase.PENDING, 0)

    # --- what it does -------------------------------------------------------------------

    def _look(self, life: int) -> None:
        if life != self._life:
            return
        seen, now = self.seen(), self.clock.now
        services = tuple(self.services.values())
        plan = reconciler.reconcile(services, seen, now)
        self.laws.planned(services, seen, now, plan)
        self.lacks = plan.lacks
        if plan.stops or plan.starts or plan.rolls or plan.done:
            wait = self._dice.choice((0, 0, 10, 200))
            self.clock.after(wait, self._perform, life, plan)
            return
        self._looks = False
        if plan.next_ms and plan.next_ms != self._alarm_ms:
            self._alarm_ms = plan.next_ms
            self.clock.at(plan.next_ms, self._ring, life)

    def _ring(self, life: int) -> None:
        self._alarm_ms = 0
        if life == self._life:
            self.stir()

    def _perform(self, life: int, plan: Plan) -> None:
        if life != self._life:
            return
        # Now and then it gets no further than this.
        broken = not self.quiet and self._dice.random() < 0.04
        starts = plan.starts
        if broken:
            starts = starts[: self._dice.randint(0, len(starts))]
        touched = {self._stop(stop.task_id) for stop in plan.stops}
        touched.update(self._start(start) for start in starts)
        if not broken:
            for roll in plan.rolls:
                self._roll(roll)
            for task_id in plan.done:
                self.ended.pop(task_id, None)
        for name in sorted(touched - {""}):
            machine = self.fleet.machines[name]
            self.clock.after(self._dice.choice((1, 20)), self.fleet.sync, machine)
        self._looks = False
        self.stir()

    def _stop(self, task_id: str) -> str:
        task = self.fleet.tasks[task_id]
        if not task.live:
            return ""
        task.live = False
        self.fleet.tell("master", "stops", task.start.id, task_id)
        return task.start.node

    def _start(self, start: Start) -> str:
        self._tasks += 1
        task_id = f"t{self._tasks}"
        made_of = self._made_of(start)
        room = (made_of.cpus, made_of.memory_bytes)
        self.fleet.tasks[task_id] = Task(task_id, start, self.clock.now, made_of.host_ports, room)
        if start.not_before_ms > self.clock.now:
            self.clock.at(start.not_before_ms, self.fleet.sync, self.fleet.machines[start.node])
        self.fleet.tell("master", "starts", start.id, task_id, "on", start.node, start.version)
        return start.node

    def _made_of(self, start: Start) -> Wanted:
        return self.laws.made_of[start.template]

    def _roll(self, roll: Roll) -> None:
        service = self.services.get(roll.service)
        if service is None or service.revision != roll.revision:
            return
        self.fleet.tell("master", "rolls", roll.service, roll.rollout, roll.good, roll.back)
        changed = replace(service, revision=self.revision(), rollout=roll.rollout)
        if roll.good:
            changed = replace(changed, good_version=service.version, good=service.wanted)
        if roll.back:
            assert service.good is not None
            good, wanted = service.good, service.wanted
            again = replace(
                wanted,
                template=good.template,
                cpus=good.cpus,
                memory_bytes=good.memory_bytes,
                host_ports=good.host_ports,
            )
            changed = replace(changed, version=service.good_version, wanted=again)
        self.services[roll.service] = changed
