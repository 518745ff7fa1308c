"""The cluster of a run: a master, its nodes, and a proxy on the way of each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from cluster import Process, until

from fault_harness.fleet import Fleet, Settings, Way
from fault_harness.proxy import Proxy
from fault_harness.services.disk import RESERVE_BYTES, Disk
from fault_harness.services.engine import OwnEngine
from fault_harness.services.judge import Sight, Truth
from fault_harness.services.lists import TOKEN, OwnList
from fault_harness.services.program import CRASHES, SOURCE
from fault_harness.services.rest import Refused, Rest

NODES: Final = ("node1", "node2", "node3")
WEB: Final = "web"
CRASHER: Final = "crasher"
WEB_INSTANCES: Final = 6
# How often a node reports all that it has.
INVENTORY_S: Final = 2.0
TWO_CYCLES_S: Final = 2 * INVENTORY_S + 0.5
SETTINGS: Final = Settings(heartbeat=0.5, grace=0.5, silence_grace=1.5)
# A law that is broken is told with how long it took all the same, if it holds in the end; of a
# build with a bug nobody wants to know.
PATIENCE_S: Final = 30.0
PATIENCE_PLANTED_S: Final = 6.0
# A port that tells the listener over HTTP from the other.
HTTP_LISTEN: Final = "127.0.0.2:0"
_SERVES: Final = re.compile(r'"master serves HTTP", "address": "([^"]+)"')


@dataclass(frozen=True)
class Bounds:
    """How long what may take, in seconds: from the settings, and a little for the machine."""

    settings: Settings
    # A program is made, started, and asked whether it is well.
    start: float
    replace_after: float = 5.0
    unhealthy: float = 0.5 * 3 + 1.0 + 1.0

    @property
    def restart(self) -> float:
        """An instance that ended is well again."""
        return self.start + INVENTORY_S

    @property
    def replaced(self) -> float:
        """The instances of a node whose connection broke are well elsewhere."""
        return self.settings.grace + self.replace_after + self.restart

    @property
    def replaced_in_silence(self) -> float:
        """The same for a node that says nothing."""
        return self.settings.eviction_s + self.replace_after + self.restart

    def rolled(self, instances: int) -> float:
        """A rolling update of so many is over; two are replaced at once."""
        return (instances + 1) // 2 * (self.start + INVENTORY_S)

    @property
    def back(self) -> float:
        """A node that can reach its master again has its session, and its surplus is gone."""
        return 3.0 + 2 * INVENTORY_S + self.restart


class Site:
    """What the faults work on. Use it as `async with`; everything is ended afterwards."""

    def __init__(
        self,
        folder: Path,
        own: OwnList,
        token: str,
        *,
        engine: OwnEngine | None = None,
        planted: str = "",
    ) -> None:
        self.folder: Final = folder
        self.own: Final = own
        self.fleet: Final = Fleet(folder, SETTINGS)
        self.leeway = 1.0
        self.bounds: Final = Bounds(SETTINGS, start=6.0 if own.runner == "container" else 4.0)
        self.nodes: dict[str, Process] = {}
        self.links: dict[str, Proxy] = {}
        self.reachable: set[str] = set()
        self.wanted: dict[str, int] = {}
        self.master: Process
        self.rest: Rest
        self.engine: Final = engine
        self._env = {"DOCKER_HOST": f"unix://{engine.socket}"} if engine else {}
        self._token = token
        self._planted = planted
        self.patience_s: Final = PATIENCE_PLANTED_S if planted else PATIENCE_S
        # Of its own, so that it can be full.
        self.disk: Final = Disk(folder / "disk") if os.geteuid() == 0 else None
        self.fleet.ways["master"] = Way(env={"PULLWORK_MASTER_DISK_RESERVE": str(RESERVE_BYTES)})

    async def __aenter__(self) -> Site:
        self._plant("master")
        if self.disk is not None:
            await asyncio.to_thread(self.disk.mount)
            self.fleet.data = self.disk.path / "data"
        self.master = await self.fleet.master("--http-listen", HTTP_LISTEN)
        found = await until(lambda: _SERVES.search(self.master.said()), "the master serves HTTP")
        assert found is not None
        self.master.listens_at(HTTP_LISTEN, found[1])
        self.rest = Rest(f"http://{found[1]}")
        for node in NODES:
            await self.start_node(node)
        await until(self._nodes_are_there, "the nodes are there")
        return self

    async def __aexit__(self, *_: object) -> None:
        for link in self.links.values():
            await link.__aexit__(None, None, None)
        if hasattr(self, "rest"):
            await self.rest.close()
        self.fleet.close()
        if self.disk is not None:
            await asyncio.to_thread(self.disk.unmount)
        with contextlib.suppress(httpx.HTTPError):
            await self.own.clean()

    def _plant(self, name: str) -> None:
        if self._planted:
            module = f"fault_harness.services.planted {self._planted}"
            way = self.fleet.ways.get(name, Way())
            self.fleet.ways[name] = Way(env=way.env, module=module)

    async def _nodes_are_there(self) -> bool:
        with contextlib.suppress(httpx.HTTPError, Refused):
            nodes = await self.rest.nodes()
            ready = {it["name"] for it in nodes if not it.get("disconnected_since")}
            return self.reachable <= ready
        return False

    # --- nodes

    async def start_node(self, node: str) -> None:
        """Starts a node's worker, or starts it again, behind its own proxy."""
        if node in self.nodes:
            self.nodes[node].start()
        else:
            self.links[node] = await Proxy(self.fleet.address).__aenter__()
            self._plant(node)
            words = ["pullwork_worker", "--node", node, "--offer", self.own.runner]
            state = str(self.folder / "state" / node)
            env = {"PULLWORK_ADDRESS": self.links[node].address, "PULLWORK_WORKER_STATE": state}
            self.nodes[node] = self.fleet._start(node, words, env | self._env)
        self.reachable.add(node)

    def kill_node(self, node: str) -> None:
        """Kills a node's worker, and only it; what it started goes on."""
        self.nodes[node].kill()
        self.reachable.discard(node)

    async def retire_node(self, node: str) -> None:
        """Ends a node for good."""
        self.kill_node(node)
        await self.links.pop(node).__aexit__(None, None, None)
        del self.nodes[node]

    async def repair(self) -> None:
        """Makes all nodes run and all links stand, whatever a fault that broke off left."""
        if not self.master.running:
            await self.fleet.restart(self.master)
        self.master.thaw()
        for node in NODES:
            process, link = self.nodes[node], self.links[node]
            link.lose_requests = link.lose_replies = False
            link.open.set()
            if process.running:
                process.thaw()
                self.reachable.add(node)
            else:
                await self.start_node(node)

    # --- services

    def spec(self, instances: int, source: str = SOURCE, **more: Any) -> dict[str, Any]:
        """Returns a service whose faults are noticed in seconds."""
        return {
            "instances": instances,
            **self.own.spec(source),
            "env": {TOKEN: self._token, "FLAVOUR": "plain"},
            "health": {
                "http": {"port": "http"},
                "interval": "0.5s",
                "timeout": "1s",
                "failures": 3,
                "start_period": "10s",
                "restart_after": "1s",
            },
            "restart": {"initial_backoff": "0.2s", "max_backoff": "2s", "reset_after": "2s"},
            "disconnect": {"replace_after": f"{self.bounds.replace_after:g}s"},
            "update": {"max_surge": 2, "healthy_for": "0.5s", "deadline": "12s"},
            "stop_grace": "2s",
            "stop_delay": "0.3s",
            **more,
        }

    async def create(self, instances: int = WEB_INSTANCES) -> None:
        """Makes the service that is hurt."""
        await self.rest.create(WEB, self.spec(instances))
        self.wanted[WEB] = instances

    async def create_crasher(self) -> None:
        """Makes a service whose one instance ends soon after each start."""
        await self.rest.create(CRASHER, self.spec(1, CRASHES, health=None, ports=[]))
        self.wanted[CRASHER] = 1

    async def scale(self, instances: int) -> None:
        """Says how many instances there are to be from now on."""
        await self.rest.scale(WEB, instances)
        self.wanted[WEB] = instances

    # --- what there is

    @property
    def truth(self) -> Truth:
        """What the harness did."""
        return Truth(dict(self.wanted), frozenset(self.reachable), frozenset({CRASHER}))

    async def look(self) -> Sight:
        """Asks everybody; raises httpx.HTTPError or Refused where somebody does not answer."""
        healthy = await self.rest.healthy()
        # Last, so that what ended meanwhile is not missed there, and what is told there is known.
        discovered = await self._discovered(set(healthy) - {CRASHER})
        told = await self.rest.instances()
        return Sight(told, await self.own.found(), healthy, discovered)

    async def _discovered(self, services: Iterable[str]) -> frozenset[str] | None:
        return await self.rest.discovered(sorted(services))
