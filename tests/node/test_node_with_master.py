"""A service over a real master and real nodes: the same programs through every restart."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from cluster import Cluster, Process, until
from node_workers import WAITS, end_all_in, programs_in

from pullwork import Client, HealthCheck, InstanceInfo, Port, ServiceSpec, TcpCheck

LISTENS = (
    "import os, socket, time; s = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n"
    f"{WAITS}"
)
SPEC = ServiceSpec(
    instances=4,
    command=[sys.executable, "-I", "-S", "-c", LISTENS],
    ports=[Port(name="main")],
    health=HealthCheck(tcp=TcpCheck()),
)


class Nodes:
    """A cluster with two nodes."""

    def __init__(self, cluster: Cluster, master: Process, client: Client) -> None:
        self.cluster = cluster
        self.master = master
        self.client = client
        self.state = cluster.folder / "state"

    def start(self, name: str) -> Process:
        """Starts a node."""
        flags = ["--offer", "process", "--node", name, "--state", str(self.state)]
        return self.cluster.program(name, "pullwork_worker", *flags)

    async def both(self) -> bool:
        """Returns whether two nodes are there and can run something."""
        found = await self.client.services.nodes()
        return sum(bool(it.runners) and not it.disconnected_since for it in found) == 2

    async def healthy(self, count: int, *, restarts: int | None = None) -> list[InstanceInfo]:
        """Waits until so many instances are healthy, and there are no others."""

        async def look() -> list[InstanceInfo]:
            found = await self.client.services.instances("web")
            well = all(it.state == "HEALTHY" and not it.disconnected for it in found)
            as_told = restarts in (None, sum(it.restarts for it in found))
            return list(found) if well and as_told and len(found) == count else []

        return await until(look, f"{count} are healthy", 60)

    def pids(self) -> set[int]:
        """Returns the programs that run."""
        return {it.pid for it in programs_in(self.state)}


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    """A master, and nodes of it; nothing of them is left."""
    cluster = Cluster(tmp_path)
    master = await cluster.master()
    try:
        async with Client(cluster.address) as client:
            yield Nodes(cluster, master, client)
    finally:
        print(cluster.story())
        cluster.close()
        end_all_in(tmp_path / "state")


@pytest.mark.service
async def test_programs_outlive_their_worker_and_the_master_and_are_replaced_when_they_end(
    nodes: Nodes,
) -> None:
    first, _ = nodes.start("n1"), nodes.start("n2")
    await until(nodes.both, "both nodes are there")
    await nodes.client.services.create("web", SPEC)
    placed = await nodes.healthy(4)
    assert sorted(it.node for it in placed) == ["n1", "n1", "n2", "n2"]
    before = nodes.pids()
    first.kill()
    nodes.start("n1")
    await until(nodes.both, "the node is back")
    await nodes.healthy(4)
    assert nodes.pids() == before
    nodes.master.kill()
    await nodes.cluster.restart(nodes.master)
    await nodes.healthy(4)
    assert nodes.pids() == before
    victim = min(before)
    psutil.Process(victim).kill()
    await until(lambda: len(nodes.pids()) == 4 and victim not in nodes.pids(), "it is replaced")
    found = await nodes.healthy(4, restarts=1)
    (again,) = [it for it in found if it.restarts]
    assert again.last_exit is not None
    assert again.last_exit.code == 137
    assert again.last_exit.log == "up"
    await nodes.client.services.scale("web", 1)
    await nodes.healthy(1)
    await until(lambda: len(nodes.pids()) == 1, "one is left")
    await nodes.client.services.delete("web")
    await until(lambda: not nodes.pids(), "none is left")
    await until(lambda: not list(nodes.state.glob("*/*/*/order.json")), "nothing is left")
