"""One run: services over a few nodes, hurt for a while and then left to heal."""

from __future__ import annotations

import random
from collections import Counter
from typing import Final

from simulator.story import Story, require

from pullwork_master.reconciler.model import Node, Phase, Rolling, Service, Wanted
from services_simulator.clock import BEGIN, Clock
from services_simulator.deeds import Deeds
from services_simulator.fleet import Fleet
from services_simulator.laws import Laws
from services_simulator.loop import Loop
from services_simulator.parts import GOOD

# How long a world may take to come to rest. Deadlines, backoff and the time that nodes have to come
# back are all far shorter.
REST_MS: Final = 1_200_000
# Moves and restarts that a world may make on its way to rest, for each instance that is wanted.
STARTS_EACH: Final = 8


class World:
    """Everything of one seed."""

    def __init__(self, seed: int, *, told: bool = False) -> None:
        self.seed = seed
        dice = random.Random(seed)
        self.story = Story(told)
        self.clock = Clock()
        self.laws = Laws(self.story)
        self.fleet = Fleet(self.clock, dice, self.story)
        self.loop = Loop(self.fleet, dice, self.laws)
        self.deeds = Deeds(self.fleet, self.loop, self.laws, dice)

    def run(self) -> None:
        """Runs the seed to its end. Errors: BrokenLawError and the reconciler's own."""
        until = self.deeds.plan()
        self.clock.run(until)
        self.fleet.tell("world", "is mended")
        self.loop.quiet = True
        self.deeds.mend()
        before = self.laws.new_starts
        rests = self.clock.run_out(self.clock.now + REST_MS)
        require(rests, "the world comes to rest")
        wanted = sum(service.wanted.instances for service in self.loop.services.values())
        starts = self.laws.new_starts - before
        require(starts <= STARTS_EACH * (wanted + 1), "nothing moves to and fro", starts)
        self._check_rest()

    def _check_rest(self) -> None:
        seen, now = self.loop.seen(), self.clock.now
        live = Counter(each.service for each in seen.instances)
        services = self.loop.services
        tasks = {each.task_id for each in seen.instances}
        machines = [each for each in self.fleet.machines.values() if each.reachable]
        really = {id for each in machines for id in each.containers}
        require(really <= tasks, "no orphan is left", really - tasks)
        near = {each.name for each in machines}
        left = [each for each in seen.remnants if each.node in near]
        require(not left, "nothing is left of what ended", left)
        require(live.keys() <= services.keys(), "what is of no service ended", live)
        for service in services.values():
            there = [each for each in seen.instances if each.service == service.name]
            lacks = sum(it.missing for it in self.loop.lacks if it.service == service.name)
            count = service.wanted.instances
            require(len(there) + lacks >= count, "what is wanted is there", service.name, count)
            if service.rollout.state is Rolling.PAUSED:
                continue
            surge = any(it.service == service.name for it in self.loop.lacks)
            require(len(there) <= count or surge, "no more is there than wanted", service.name)
            if surge:
                continue
            ill = [each.id for each in there if each.phase is not Phase.HEALTHY]
            require(not ill, "in the end all are well", ill)
            old = [each.id for each in there if each.version != service.version]
            require(not old, "in the end all are of one version", old)
            self._check_update(service)
            self._check_spread(service, Counter(it.node for it in there), list(seen.nodes), now)

    def _check_update(self, service: Service) -> None:
        state = service.rollout.state
        require(state in (Rolling.DONE, Rolling.RETURNED), "every update comes to an end", service)
        if not service.wanted.instances:
            return
        kind = self.fleet.programs[service.wanted.template].kind
        require(kind == GOOD, "a failed update returns", service.name, kind)
        good = service.good_version == service.version
        require(good, "what is well is what to return to", service.name)

    def _check_spread(
        self, service: Service, on: Counter[str], nodes: list[Node], now: int
    ) -> None:
        """No node that could take one more has two fewer than another."""
        wanted, most = service.wanted, max(on.values(), default=0)
        for node in nodes:
            away = node.draining or bool(set(wanted.constraints) - set(node.labels))
            if away:
                require(not on[node.name], "what is to leave a node left it", node.name)
                continue
            if wanted.spread_by or node.gone_since_ms or not self._fits(wanted, node, on):
                continue
            even = most - on[node.name] < 2
            require(even, "in the end all are spread evenly", service.name, dict(on), node.name)

    def _fits(self, wanted: Wanted, node: Node, on: Counter[str]) -> bool:
        machine = self.fleet.machines[node.name]
        there = [each.task for each in machine.containers.values()]
        memory = sum(task.room[1] for task in there) + wanted.memory_bytes
        cpus = sum(task.room[0] for task in there) + wanted.cpus
        ports = {port for task in there for port in task.ports}
        return (
            wanted.runner in node.runners
            and len(there) < node.instances_max
            and not (wanted.max_per_node and on[node.name] >= wanted.max_per_node)
            and not (node.memory_bytes and memory > node.memory_bytes)
            and not (node.cpus and cpus > node.cpus)
            and not ports & set(wanted.host_ports)
        )

    @property
    def length_ms(self) -> int:
        """How long the run was, in the world's own time."""
        return self.clock.now - BEGIN
