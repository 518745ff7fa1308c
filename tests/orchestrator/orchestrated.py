"""A master's services over a real engine and storage, with a clock moved by hand, and nodes that
speak to the core as their workers would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pullwork.v1 import node_service_pb2, service_pb2
from pullwork_master.core import commands as c
from pullwork_master.core.limits import Policy
from pullwork_master.core.model import Failure, FailureKind, Grant, Load, Now
from pullwork_master.engine import Engine
from pullwork_master.orchestrator.instances import new_task
from pullwork_master.orchestrator.nodes import Facts
from pullwork_master.orchestrator.orchestrator import Orchestrator
from pullwork_master.orchestrator.roster import Roster
from pullwork_master.reconciler.model import NODE_PREFIX, Runner, Start
from pullwork_master.storage.base import Storage
from pullwork_master.storage.memory import MemoryStorage
from pullwork_master.storage.sqlite import SqliteStorage
from pullwork_master.wire.service_specs import filled

POLICY = Policy(heartbeat_ms=1_000, grace_ms=500, silence_grace_ms=2_000)
HEALTHY = service_pb2.INSTANCE_STATE_HEALTHY
STARTING = service_pb2.INSTANCE_STATE_STARTING
UNHEALTHY = service_pb2.INSTANCE_STATE_UNHEALTHY
PROCESS = frozenset({Runner.PROCESS})
DAY = 1_700_000_000_000


def make_storages(folder: Path, kind: str) -> Callable[[], Storage]:
    """Returns what opens the same storage at each start."""
    if kind == "sqlite":
        return lambda: SqliteStorage(folder / "data")
    memory = MemoryStorage()
    return lambda: memory


class Bench:
    """A master that can be killed and started again."""

    def __init__(self, make: Callable[[], Storage]) -> None:
        self._make = make
        self.ms = 1_000
        self.nodes: dict[str, Node] = {}
        self.engine: Engine
        self.services: Orchestrator
        self.storage: Storage
        self._writer: asyncio.Task[None]

    def now(self) -> Now:
        return Now(self.ms, DAY + self.ms)

    @property
    def roster(self) -> Roster:
        return self.services.roster

    async def start(self) -> None:
        self.storage = self._make()
        self.engine = Engine(self.storage, POLICY, self.now)
        await self.engine.start()
        self.services = Orchestrator(self.engine, POLICY)
        self.services.open(self.storage)
        self._writer = asyncio.create_task(self.engine.run())

    async def kill(self) -> None:
        """Drops all that was not committed."""
        self.engine.stop()
        self._writer.cancel()
        await asyncio.wait({self._writer})
        await self.engine.close()

    async def restart(self) -> None:
        """Kills the master and starts another; no node has heard of it yet."""
        await self.kill()
        for node in self.nodes.values():
            node.session = ""
        await self.start()

    async def pass_time(self, ms: int) -> None:
        """Moves the clock by steps in which no session falls silent unheard."""
        while ms > 0:
            stride = min(ms, 500)
            self.ms += stride
            ms -= stride
            for node in self.nodes.values():
                await node.beat()
            await self.engine.look()

    async def settle(self, rounds: int = 40) -> None:
        """Has master and nodes act in turn until neither has anything more to do."""
        for _ in range(rounds):
            before = self.picture()
            await self.services.look()
            for node in self.nodes.values():
                if node.session:
                    await node.work()
            if self.picture() == before:
                return
        raise AssertionError(f"it does not come to rest: {before}")

    def picture(self) -> object:
        """All that changes while master and nodes act."""
        lives = self.roster.stock.lives.values()
        return (
            sorted((live.task_id, live.phase, live.spec.version) for live in lives),
            {row.name: row.revision for row in self.engine.core.book.services.values()},
            {name: sorted(node.has) for name, node in self.nodes.items()},
            sorted(self.roster.stock.over),
        )

    def tasks(self, service: str = "web") -> dict[str, str]:
        """The live tasks of a service, by instance."""
        return {live.spec.instance_id: live.task_id for live in self.roster.stock.of(service)}

    def running(self) -> dict[str, list[str]]:
        """What runs on each node, by instance."""
        return {
            name: sorted(each.instance_id for each in node.has.values())
            for name, node in self.nodes.items()
        }

    async def node(self, name: str, slots: int = 10, **more: Any) -> Node:
        """Has a node join, and report what it has: nothing."""
        node = self.nodes[name] = Node(self, name, slots=slots, **more)
        await node.join()
        node.report()
        return node

    async def create(self, name: str = "web", instances: int = 1, **more: Any) -> None:
        await self.services.create(name, spec(instances, **more))

    async def place(self, start: Start) -> str:
        """Submits the task of an instance, as the loop does."""
        task = new_task(start)
        await self.engine.ask(c.Submit((task,)))
        return task.spec.id

    def shown(self, service: str = "web") -> list[service_pb2.Instance]:
        return self.services.instances(service)


@dataclass
class Node:
    """What a node's worker knows; its containers outlive its sessions."""

    bench: Bench
    name: str
    slots: int = 10
    labels: tuple[tuple[str, str], ...] = ()
    boot: int = 0
    session: str = ""
    stream: int = 0
    facts: Facts = field(default_factory=lambda: Facts(PROCESS))
    load: Load = field(default_factory=Load)
    grants: dict[str, Grant] = field(default_factory=dict)
    # All that it has, by task.
    has: dict[str, node_service_pb2.InstanceReport] = field(default_factory=dict)
    # How an instance that was just made is reported.
    begins_as: int = HEALTHY

    async def join(self) -> None:
        self.boot += 1
        name = NODE_PREFIX + self.name
        register = c.Register(
            name,
            f"{self.name}-{self.boot}",
            (name,),
            (Runner.PROCESS.task_type,),
            self.slots,
            labels=self.labels,
        )
        answer = await self.bench.engine.ask(register)
        self.session = answer.session.id
        self.stream = await self.bench.engine.ask(c.OpenStream(self.session))
        self.grants.clear()

    async def beat(self) -> None:
        if self.session:
            held = tuple(c.Held(grant.token, True) for grant in self.grants.values())
            load = Load(self.load.cpu, self.load.memory)
            await self.bench.engine.ask(c.Heartbeat(self.session, held, load))

    async def vanish(self) -> None:
        """Is killed: its session ends once the grace is over, its containers go on."""
        session, self.session = self.session, ""
        await self.bench.engine.ask(c.StreamBroke(session, self.stream))
        await self.bench.pass_time(POLICY.grace_ms)

    async def work(self) -> list[str]:
        """Takes what waits for it, makes or adopts instances of it, and reports."""
        granted = await self.bench.engine.ask(c.Request(self.session, self.slots))
        for grant in granted:
            self.grants[grant.spec.id] = grant
            made = service_pb2.InstanceSpec.FromString(grant.spec.payload)
            if grant.spec.id not in self.has:
                self.put(grant.spec.id, made.instance_id, self.begins_as)
        return self.report()

    def put(self, task_id: str, instance_id: str, state: int = HEALTHY, **more: Any) -> None:
        self.has[task_id] = node_service_pb2.InstanceReport(
            task_id=task_id,
            instance_id=instance_id,
            state=state,  # type: ignore[arg-type]
            **more,
        )

    def report(self) -> list[str]:
        """Reports all that it has, and removes what is unwanted."""
        facts = self.facts
        unwanted = self.bench.services.report(self.session, self.copies(), facts)
        for task_id in unwanted:
            del self.has[task_id]
            self.grants.pop(task_id, None)
        return unwanted

    def copies(self) -> Iterable[node_service_pb2.InstanceReport]:
        for each in self.has.values():
            made = node_service_pb2.InstanceReport()
            made.CopyFrom(each)
            yield made

    async def exits(self, task_id: str, details: str = "", message: str = "exit code 1") -> None:
        """Tells that an instance ended by itself."""
        grant = self.grants.pop(task_id)
        del self.has[task_id]
        failure = Failure(FailureKind.APPLICATION, "pullwork.InstanceEnded", message, details)
        outcome = c.Outcome(grant.token, failure, b"d")
        await self.bench.engine.ask(c.Report(self.session, (outcome,)))
        self.report()


def spec(instances: int = 1, **more: Any) -> service_pb2.ServiceSpec:
    """Makes what is wanted, with every default."""
    if "image" not in more:
        more.setdefault("command", ["serve"])
    return filled(service_pb2.ServiceSpec(instances=instances, **more))


def a_start(id: str = "web-1", node: str = "n1", version: int = 1, **more: Any) -> Start:
    """Makes the order for an instance."""
    template = more.pop("template", spec().SerializeToString())
    service = id.rpartition("-")[0]
    return Start(id, service, version, node, template, Runner.PROCESS, **more)


async def three_nodes(bench: Bench, instances: int = 6) -> None:
    """Has three nodes join, and a service run over them."""
    for name in ("n1", "n2", "n3"):
        await bench.node(name)
    await bench.create("web", instances)
    await bench.settle()


async def rested(bench: Bench) -> None:
    """Lets time pass until nothing happens any more."""
    for _ in range(60):
        await bench.settle()
        await bench.pass_time(2_000)
    await bench.settle()
