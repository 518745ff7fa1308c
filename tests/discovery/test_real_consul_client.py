"""A client library of Consul finds instances, and waits for changes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import consul
import pytest
from http_door import HttpDoor
from listed_instances import ListedInstances, instance, metrics_port


@pytest.fixture
def client(door: HttpDoor) -> Iterator[Any]:
    """The client; it blocks, so its calls belong into threads."""
    host, _, port = door.address.rpartition(":")
    made = consul.Consul(host=host, port=int(port), token="of no meaning")
    yield made
    made.http.session.close()


async def test_it_lists_services_instances_and_nodes(listed: ListedInstances, client: Any) -> None:
    web = instance("web", 1, 8001)
    listed.put("web", [web, metrics_port(web, 9001), instance("web", 2, 8002, healthy=False)])
    _, services = await asyncio.to_thread(client.catalog.services)
    assert sorted(services) == ["web", "web_metrics"]
    _, well = await asyncio.to_thread(client.health.service, "web", passing=True, tag="canary")
    assert [(it["Service"]["Address"], it["Service"]["Port"]) for it in well] == [
        ("127.0.0.1", 8001)
    ]
    _, rows = await asyncio.to_thread(client.catalog.service, "web")
    assert [row["ServiceID"] for row in rows] == ["web-1", "web-2"]
    _, checks = await asyncio.to_thread(client.health.checks, "web")
    assert [check["Status"] for check in checks] == ["passing", "critical"]
    _, ill = await asyncio.to_thread(client.health.state, "critical")
    assert [check["ServiceID"] for check in ill] == ["web-2"]
    _, nodes = await asyncio.to_thread(client.catalog.nodes)
    assert [node["Node"] for node in nodes] == ["n1"]
    assert await asyncio.to_thread(client.catalog.datacenters) == ["dc1"]
    assert await asyncio.to_thread(client.status.leader)


async def test_its_wait_returns_upon_a_change(listed: ListedInstances, client: Any) -> None:
    listed.put("web", [instance("web", 1)])
    index, before = await asyncio.to_thread(client.health.service, "web", passing=True)
    waiting = asyncio.create_task(
        asyncio.to_thread(client.health.service, "web", passing=True, index=index, wait="60s")
    )
    done, _ = await asyncio.wait({waiting}, timeout=0.5)
    assert not done
    listed.put("web", [instance("web", 1), instance("web", 2)])
    later, after = await waiting
    assert int(later) > int(index)
    assert (len(before), len(after)) == (1, 2)


async def test_it_hears_of_a_master_that_does_not_know_yet_as_an_error(
    listed: ListedInstances, client: Any
) -> None:
    listed.settled = False
    with pytest.raises(consul.ConsulException, match="No cluster leader"):
        await asyncio.to_thread(client.health.service, "web")


async def test_what_would_write_is_refused(client: Any) -> None:
    with pytest.raises(consul.ConsulException, match="only be read"):
        await asyncio.to_thread(client.agent.service.register, "web")
