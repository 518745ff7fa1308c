"""A master that knows of a service and a node, and what is listed of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from orchestrated import Bench, Node, a_start

from pullwork.v1 import service_pb2
from pullwork_master.gateway.discovery.listing import Listing
from pullwork_master.storage.memory import MemoryStorage

PORTS: Final = [
    service_pb2.Port(name="http", port=80),
    service_pb2.Port(name="metrics", port=90),
]


@asynccontextmanager
async def benched() -> AsyncIterator[Bench]:
    """Has a master for a block that knows of a service `web` and a node."""
    memory = MemoryStorage()
    bench = Bench(lambda: memory)
    await bench.start()
    try:
        await bench.create("web", ports=PORTS, labels={"tier": "front"})
        await bench.node("n1")
        yield bench
    finally:
        await bench.kill()


def listing_of(bench: Bench) -> Listing:
    """Returns what a master lists."""
    return Listing(bench.roster)


def addresses(*names: str) -> list[service_pb2.Address]:
    """Returns where ports of these names can be reached."""
    return [
        service_pb2.Address(name=name, host="10.0.0.1", port=8000 + number)
        for number, name in enumerate(names)
    ]


async def placed(bench: Bench, id: str = "web-1", **more: Any) -> tuple[Node, str]:
    """Returns the node and the task of an instance that is HEALTHY."""
    node = bench.nodes["n1"]
    task_id = await bench.place(a_start(id))
    await node.work()
    node.put(task_id, id, addresses=addresses("http", "metrics"), **more)
    node.report()
    return node, task_id


def ids_of(found: Listing, service: str = "") -> list[str]:
    """Returns the ports that are listed, each with its instance."""
    return [f"{each.instance}:{each.port_name}" for each in found.endpoints(service)]
