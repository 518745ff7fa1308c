"""What happens to a world: what users want, and what goes wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from pullwork_master.reconciler.model import (
    Phase,
    Restart,
    Rolling,
    Rollout,
    Runner,
    Service,
    Update,
    Wanted,
)
from services_simulator.fleet import Fleet
from services_simulator.laws import Laws
from services_simulator.loop import Loop
from services_simulator.parts import ALL, BAD, GOOD, Container, Machine, Program

MIB: Final = 1024 * 1024
NAMES: Final = ("api", "db", "web")


class Deeds:
    """Draws a story, and brings it about."""

    def __init__(self, fleet: Fleet, loop: Loop, laws: Laws, dice: random.Random) -> None:
        self.fleet, self.loop, self.laws, self._dice = fleet, loop, laws, dice
        self.clock = fleet.clock
        self._made = 0
        # In a narrow world there is not room for all.
        self.narrow = dice.random() < 0.25
        users: list[Callable[[], None]] = [self._scale, self._scale, self._update, self._update]
        users += [self._delete, self._policy]
        faults: list[Callable[[], None]] = [
            self._kill,
            self._cut,
            self._lose,
            self._join,
            self._drain,
            self._restart_master,
            self._busy,
            self._sicken,
            self._engine,
        ]
        # A seed meets few kinds of faults, each often.
        self._faults = dice.sample(faults, dice.randint(1, 4))
        self._users = users

    def plan(self) -> int:
        """Draws what will happen; returns when it is over."""
        dice = self._dice
        for _ in range(dice.randint(1, 4)):
            self._new_machine()
        for name in NAMES[: dice.choice((1, 1, 2, 3))]:
            self.clock.after(dice.randint(0, 2_000), self._create, name)
        moment = self.clock.now + 3_000
        for _ in range(dice.randint(3, 9)):
            moment += int(dice.expovariate(1 / dice.choice((300, 4_000, 4_000, 20_000))))
            deed = dice.choice(self._faults if dice.random() < 0.6 else self._users)
            self.clock.at(moment, deed)
        return moment + dice.choice((100, 3_000))

    def mend(self) -> None:
        """Ends what goes wrong. Some nodes keep draining; somebody mends what was never well."""
        dice = self._dice
        for machine in self.fleet.machines.values():
            machine.runners = ALL
            machine.cpu = 0.1
            if machine.draining and dice.random() < 0.5:
                machine.draining = False
            waits = any(it.wanted.replace_after_ms is None for it in self.loop.services.values())
            if waits or machine.linked or dice.random() < 0.8:
                self.clock.after(dice.randint(0, 3_000), self.fleet.link, machine)
        if all(it.draining or not it.linked for it in self.fleet.machines.values()):
            self._new_machine()
        # Also of what fails only later.
        for wait in (dice.choice((10, 8_000)), 60_000, 300_000):
            self.clock.after(wait, self._correct)
        self.loop.stir()

    def _correct(self) -> None:
        """Gives what has nothing to return to something that works."""
        for template, program in self.fleet.programs.items():
            self.fleet.programs[template] = replace(program, refused_by="")
        for name, service in list(self.loop.services.items()):
            bad = self.fleet.programs[service.wanted.template].kind != GOOD
            hopeless = service.good is None or service.good_version == service.version
            if service.rollout.state is Rolling.PAUSED or (bad and hopeless):
                self._change(name, self._program(GOOD))

    # --- what users do ------------------------------------------------------------------

    def _program(self, kind: str = "") -> Program:
        dice = self._dice
        refused_by = ""
        if not kind and dice.random() < 0.05:
            refused_by = dice.choice(list(self.fleet.machines))
        kind = kind or (GOOD if dice.random() < 0.65 else dice.choice(BAD))
        return Program(kind, dice.choice((100, 600, 2_500)), refused_by)

    def _template(self, program: Program) -> dict[str, Any]:
        dice = self._dice
        self._made += 1
        template = f"template {self._made}".encode()
        self.fleet.programs[template] = program
        size = dice.choice((0, 100, 200)) * (2 if self.narrow else 1) * MIB
        port = dice.choice((8080, 9090)) if dice.random() < 0.12 else 0
        return {
            "template": template,
            "memory_bytes": size,
            "cpus": dice.choice((0.0, 0.1, 0.5)),
            "host_ports": (port,) if port else (),
        }

    def _policies(self) -> dict[str, Any]:
        dice = self._dice
        surge = dice.choice((1, 1, 1, 2, 0))
        spread_by = "zone" if dice.random() < 0.15 else ""
        constrained = dice.random() < 0.12
        return {
            "restart": Restart(dice.choice((200, 1_000)), 20_000, dice.choice((3_000, 60_000))),
            "constraints": (("zone", dice.choice("ab")),) if constrained else (),
            "spread_by": spread_by,
            "max_per_node": dice.choice((0, 0, 0, 0, 0, 1, 2)),
            "replace_after_ms": dice.choice((1_000, 10_000, 10_000, None)),
            "update": Update(
                max_surge=surge,
                max_unavailable=dice.choice((0, 0, 1)) if surge else 1,
                healthy_ms=dice.choice((500, 2_000)),
                deadline_ms=dice.choice((8_000, 30_000)),
                returns=dice.random() < 0.85,
            ),
        }

    def _store(self, service: Service) -> None:
        self.laws.made_of[service.wanted.template] = service.wanted
        self.loop.services[service.name] = service
        self.fleet.tell("user", "wants", service)
        self.loop.stir()

    def _create(self, name: str) -> None:
        if name in self.loop.services:
            return
        revision = self.loop.revision()
        made = self._template(self._program())
        count = self._dice.choice((0, 1, 2, 3, 4, 6))
        wanted = Wanted(instances=count, runner=Runner.CONTAINER, **made, **self._policies())
        rollout = Rollout(Rolling.ROLLING, self.clock.now, revision)
        self._store(Service(name, revision, revision, wanted, rollout))

    def _one(self) -> str:
        return self._dice.choice(sorted(self.loop.services) or [""])

    def _scale(self) -> None:
        service = self.loop.services.get(self._one())
        if service is not None:
            wanted = replace(service.wanted, instances=self._dice.choice((0, 1, 2, 3, 5, 7)))
            self._store(replace(service, revision=self.loop.revision(), wanted=wanted))

    def _policy(self) -> None:
        service = self.loop.services.get(self._one())
        if service is not None:
            wanted = replace(service.wanted, **self._policies())
            self._store(replace(service, revision=self.loop.revision(), wanted=wanted))

    def _update(self) -> None:
        if name := self._one():
            self._change(name, self._program())

    def _change(self, name: str, program: Program) -> None:
        service = self.loop.services[name]
        revision = self.loop.revision()
        wanted = replace(service.wanted, **self._template(program))
        rollout = Rollout(Rolling.ROLLING, self.clock.now, revision)
        self._store(
            replace(service, revision=revision, version=revision, wanted=wanted, rollout=rollout)
        )

    def _delete(self) -> None:
        name = self._one()
        if name:
            del self.loop.services[name]
            self.fleet.tell("user", "deletes", name)
            self.loop.stir()
            if self._dice.random() < 0.5:
                self.clock.after(self._dice.choice((1, 1_000)), self._create, name)

    # --- what goes wrong ----------------------------------------------------------------

    def _new_machine(self) -> Machine:
        dice, number = self._dice, len(self.fleet.machines) + 1
        machine = Machine(
            name=f"n{number}",
            labels=(("zone", dice.choice("ab")),),
            cpus=dice.choice((0.0, 1.0)) if self.narrow else 0.0,
            memory_bytes=dice.choice((0, 700 * MIB)) if self.narrow else 8_000 * MIB,
            instances_max=dice.choice((2, 4)) if self.narrow else 100,
            joined_ms=self.clock.now,
        )
        self.fleet.machines[machine.name] = machine
        self.fleet.sync(machine)
        return machine

    def _machine(self) -> Machine:
        return self._dice.choice(list(self.fleet.machines.values()))

    def _container(self) -> tuple[Machine, Container] | None:
        machines = self.fleet.machines.values()
        running = [
            (machine, each)
            for machine in machines
            for each in machine.containers.values()
            if each.exit is None and not each.going
        ]
        return self._dice.choice(running) if running else None

    def _kill(self) -> None:
        if found := self._container():
            self.fleet.ends(*found, "killed", code=137)

    def _sicken(self) -> None:
        """Has an instance fail its check for a while; then it is well again, or restarted."""
        if (found := self._container()) and found[1].phase is Phase.HEALTHY:
            machine, container = found
            container.phase, container.healthy_ms = Phase.UNHEALTHY, 0
            self.fleet.changed(machine)
            self.clock.after(self._dice.choice((500, 6_000)), self._recover, machine, container)

    def _recover(self, machine: Machine, container: Container) -> None:
        there = machine.containers.get(container.task.task_id) is container
        if not there or container.going or container.exit or container.phase is not Phase.UNHEALTHY:
            return
        if self._dice.random() < 0.5:
            self.fleet.ends(machine, container, "unhealthy for too long")
        else:
            container.phase, container.healthy_ms = Phase.HEALTHY, self.clock.now
            self.fleet.changed(machine)

    def _cut(self) -> None:
        machine = self._machine()
        self.fleet.tell(machine.name, "is cut off")
        self.fleet.cut(machine)
        self.clock.after(self._dice.choice((300, 5_000, 30_000)), self.fleet.link, machine)

    def _lose(self) -> None:
        """A machine dies with all that runs on it; it may come back empty."""
        machine = self._machine()
        self.fleet.tell(machine.name, "dies")
        self.fleet.cut(machine)
        machine.containers.clear()
        if self._dice.random() < 0.5:
            self.clock.after(self._dice.choice((500, 15_000)), self.fleet.link, machine)

    def _join(self) -> None:
        if len(self.fleet.machines) < 5:
            self._new_machine()

    def _drain(self) -> None:
        machine = self._machine()
        machine.draining = not machine.draining
        self.fleet.tell(machine.name, "drains", machine.draining)
        self.loop.stir()

    def _restart_master(self) -> None:
        if self.fleet.master_up:
            self.fleet.tell("master", "dies")
            self.loop.die()

    def _busy(self) -> None:
        self._machine().cpu = self._dice.choice((0.05, 0.3, 0.6, 0.8, 1.0))
        self.loop.stir()

    def _engine(self) -> None:
        """A machine's engine is gone for a while, and what ran in it with that."""
        machine = self._machine()
        machine.runners = frozenset({Runner.PROCESS})
        for container in list(machine.containers.values()):
            if container.exit is None and not container.going:
                self.fleet.ends(machine, container, "the engine is gone", code=None)
        self.fleet.changed(machine)
        self.clock.after(self._dice.choice((400, 10_000)), self._engine_back, machine)

    def _engine_back(self, machine: Machine) -> None:
        machine.runners = ALL
        self.fleet.changed(machine)
