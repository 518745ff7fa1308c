"""The machines and what runs on them: tasks become containers, containers end."""

from __future__ import annotations

import random
from collections.abc import Callable

from simulator.story import Story

from pullwork_master.reconciler.model import Exit, Phase
from services_simulator.clock import Clock
from services_simulator.parts import (
    GOOD,
    Container,
    Machine,
    Program,
    Task,
)


class Fleet:
    """All machines, and all tasks that stand on disk."""

    def __init__(self, clock: Clock, dice: random.Random, story: Story) -> None:
        self.clock = clock
        self._dice = dice
        self._story = story
        self.machines: dict[str, Machine] = {}
        self.tasks: dict[str, Task] = {}
        self.programs: dict[bytes, Program] = {}
        # The master's part: whether it is there, who wants to know that something has changed,
        # and who takes the end of a task.
        self.master_up = True
        self.stir: Callable[[], None] = lambda: None
        self.take_end: Callable[[Task, Exit], None] = lambda task, exit: None

    def tell(self, who: str, what: str, *facts: object) -> None:
        """Adds to the story, if somebody listens."""
        if self._story.told:
            self._story.tell(self.clock.now * 1_000, who, what, *facts)

    # --- a node's work ------------------------------------------------------------------

    def sync(self, machine: Machine) -> None:
        """Lets a node do what the master wants of it, if it can hear that."""
        if not (self.master_up and machine.linked):
            return
        if not machine.known_since_ms:
            machine.known_since_ms = self.clock.now
        machine.heard = True
        machine.gone_since_ms = 0
        for container in list(machine.containers.values()):
            task = container.task
            if container.exit is not None and task.live:
                task.live = False
                self.take_end(task, container.exit)
            if not task.live:
                self._remove(machine, container)
        names = {each.task.start.id for each in machine.containers.values()}
        for task in self.tasks.values():
            start = task.start
            if not task.live or start.node != machine.name or task.task_id in machine.containers:
                continue
            # There is an alarm for its moment already.
            if start.not_before_ms <= self.clock.now and start.id not in names:
                self._begin(machine, task)
        self.stir()

    def _begin(self, machine: Machine, task: Task) -> None:
        now, program = self.clock.now, self.programs[task.start.template]
        container = Container(task, Phase.STARTING, now)
        machine.containers[task.task_id] = container
        self.tell(machine.name, "begins", task.start.id, task.task_id)
        takes_ms = program.takes_ms + self._dice.randint(0, 100)
        if program.refused_by == machine.name or program.kind == "refused":
            takes_ms //= 4
        self.clock.after(takes_ms, self._shows, machine, container, program)

    def _shows(self, machine: Machine, container: Container, program: Program) -> None:
        if machine.containers.get(container.task.task_id) is not container or container.exit:
            return
        if program.refused_by == machine.name or program.kind == "refused":
            self.ends(machine, container, "the image is refused", code=None)
        elif program.kind == "crashes":
            self.ends(machine, container, "exit code 1")
        elif program.kind == GOOD:
            if not container.going:
                container.phase, container.healthy_ms = Phase.HEALTHY, self.clock.now
        elif not container.going:
            container.phase = Phase.UNHEALTHY
        self.changed(machine)

    def ends(
        self, machine: Machine, container: Container, reason: str, code: int | None = 1
    ) -> None:
        """Lets a container end by itself."""
        ran = 0 if code is None else container.began_ms
        container.exit = Exit(reason, code, self.clock.now, started_ms=ran)
        container.healthy_ms = 0
        self.tell(machine.name, "ended", container.task.start.id, reason)
        self.sync(machine)

    def _remove(self, machine: Machine, container: Container) -> None:
        if container.going:
            return
        container.going = True
        container.phase, container.healthy_ms = Phase.STOPPING, 0
        self.clock.after(self._dice.choice((5, 50, 400)), self._removed, machine, container)

    def _removed(self, machine: Machine, container: Container) -> None:
        if machine.containers.get(container.task.task_id) is container:
            del machine.containers[container.task.task_id]
            self.sync(machine)

    def changed(self, machine: Machine) -> None:
        """Lets the master know that something is not as it was, if it can be known."""
        if machine.reachable:
            self.stir()

    # --- what happens to a node ---------------------------------------------------------

    def cut(self, machine: Machine) -> None:
        """Takes a node out of reach."""
        if machine.linked:
            if machine.heard:
                machine.tell()
                machine.gone_since_ms = self.clock.now
            machine.linked = False
            self.stir()

    def link(self, machine: Machine) -> None:
        """Brings a node back."""
        if not machine.linked:
            machine.linked = True
            machine.heard = False
            machine.joined_ms = self.clock.now
            self.sync(machine)

    def live_on(self, machine: Machine) -> bool:
        """Says whether a node is to have something."""
        return any(each.live and each.start.node == machine.name for each in self.tasks.values())
