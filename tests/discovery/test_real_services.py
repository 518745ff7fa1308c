"""The whole of it: a master, nodes that keep processes, and a Traefik before them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import consul
import httpx
import psutil
import pytest
import yaml
from callers import calling
from cluster import Cluster, Process, until
from node_workers import Workers
from real_programs import DEPLOY, DOOR, configured, free_port, program, running

PROGRAM = Path(__file__).with_name("answering.py")
# From the death of a process to the last request that it costs: its node sees it end, tells the
# master, and that wakes Traefik.
BOUND_S = 5.0


@dataclass
class Site:
    """A running service and what finds it."""

    cluster: Cluster
    master: Process
    http: httpx.AsyncClient
    # Its nodes, by name.
    nodes: dict[str, Process]
    # Where Traefik listens.
    url: str

    async def well(self, number: int) -> list[Any]:
        """Waits until so many instances pass, by a client of Consul; returns them."""
        host, port = self.http.base_url.host, self.http.base_url.port
        client = consul.Consul(host=host, port=port or 0)

        async def those() -> list[Any]:
            with contextlib.suppress(consul.ConsulException):
                _, found = await asyncio.to_thread(client.health.service, "web", passing=True)
                return found if len(found) == number else []
            return []

        try:
            return await until(those, f"{number} instances pass", 60)
        finally:
            client.http.session.close()

    async def rolled(self) -> bool:
        """Says whether the last change is done."""
        service = (await self.http.get("/services/web")).json()["service"]
        return bool(service["rollout"]["state"] == "ROLLOUT_STATE_DONE")

    async def scale(self, number: int) -> None:
        """Says how many there are to be."""
        answer = await self.http.post("/services/web/scale", json={"instances": number})
        assert answer.status_code == 200, answer.text


def _spec(*, again: bool) -> dict[str, Any]:
    """Returns the service of deploy/discovery, with a program that says who answers."""
    spec: dict[str, Any] = yaml.safe_load((DEPLOY / "services.yaml").read_text())["services"]["web"]
    if not again:
        spec["labels"] = {k: v for k, v in spec["labels"].items() if "again" not in str((k, v))}
    command = f"exec {sys.executable} {PROGRAM} $PULLWORK_INSTANCE"
    return spec | {
        "command": ["sh", "-c", command],
        "ports": [{"name": "http"}, {"name": "metrics"}],
        "health": {"http": {"path": "/"}, "interval": "0.2s"},
    }


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Processes that end with the test; what they said is shown if it failed."""
    started = Cluster(tmp_path)
    yield started
    started.close()
    print(started.story())


@pytest.fixture
async def site(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Site]:
    """A master, two nodes, and a Traefik before whatever runs there."""
    traefik, at, door = program("traefik"), free_port(), f"127.0.0.1:{free_port()}"
    master = await cluster.master("--http-listen", door)
    workers = Workers(cluster.address, tmp_path)
    config = configured("traefik.yml", tmp_path, **{DOOR: door, ":8080": f"127.0.0.1:{at}"})
    try:
        nodes = {node: workers.start(node) for node in ("n1", "n2")}
        with running(traefik, f"--configfile={config}", output=tmp_path / "traefik.log"):
            async with httpx.AsyncClient(
                base_url=f"http://{door}", timeout=60, trust_env=False
            ) as http:

                async def both() -> bool:
                    nodes = (await http.get("/nodes")).json()["nodes"]
                    return [each.get("runners") for each in nodes] == [["process"]] * 2

                await until(both, "both nodes are there")
                yield Site(cluster, master, http, nodes, f"http://127.0.0.1:{at}/")
    finally:
        print(workers.story())
        workers.close()


def _kill(entry: Any) -> float:
    """Kills the process of an instance; returns the moment."""
    port = entry["Service"]["Port"]
    (pid,) = {
        each.pid
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr.port == port and each.pid
    }
    os.kill(pid, signal.SIGKILL)
    return time.monotonic()


async def test_callers_are_led_to_what_runs_through_a_death_and_every_change(site: Site) -> None:
    answer = await site.http.post("/services/web", json=_spec(again=False))
    assert answer.status_code in {200, 201}, answer.text
    three = await site.well(3)
    names = {entry["Service"]["ID"] for entry in three}
    assert len({entry["Node"]["Node"] for entry in three}) == 2
    async with calling(site.url) as load:
        await load.names_until(names)
        ready = time.monotonic()
        await load.more_until(100)
        assert load.failures(since=ready) == []

        killed = _kill(three[0])
        await until(lambda: load.failures(since=killed) or None, "a caller meets it", BOUND_S)
        await site.well(3)
        await load.names_until(names)
        last = max(call.ended for call in load.failures(since=ready))
        print(f"{len(load.failures(ready))} failed, the last {last - killed:.3f} s after the kill")
        assert last - killed < BOUND_S

        await site.scale(5)
        five = {entry["Service"]["ID"] for entry in await site.well(5)}
        await load.names_until(five)
        await load.more_until(100)
        # What is to end is gone before it ends.
        await site.scale(2)
        two = {entry["Service"]["ID"] for entry in await site.well(2)}
        await load.names_until(two)

        answer = await site.http.put("/services/web", json={"env": {"CHANGED": "1"}})
        assert answer.status_code == 200, answer.text
        await until(site.rolled, "the update is done", 60)
        new = {entry["Service"]["ID"] for entry in await site.well(2)}
        assert not new & two
        await load.names_until(new)
        assert load.failures(since=killed + BOUND_S) == []
    targets = (await site.http.get("/discovery/prometheus?service=web&port=metrics")).json()
    assert {each["labels"]["__meta_pullwork_instance"] for each in targets} == new


async def test_workers_that_are_killed_and_started_again_cost_no_request(site: Site) -> None:
    answer = await site.http.post("/services/web", json=_spec(again=False))
    assert answer.status_code in {200, 201}, answer.text
    names = {entry["Service"]["ID"] for entry in await site.well(3)}
    async with calling(site.url) as load:
        await load.names_until(names)
        ready = time.monotonic()
        before = (await site.http.get("/nodes")).json()["nodes"]
        for worker in site.nodes.values():
            worker.kill()

        async def unreachable() -> bool:
            found = (await site.http.get("/services/web/instances")).json()["instances"]
            return all(each.get("disconnected") for each in found)

        await until(unreachable, "the master knows that no worker is there")
        for worker in site.nodes.values():
            worker.start()

        async def others() -> bool:
            nodes = (await site.http.get("/nodes")).json()["nodes"]
            sessions = {each.get("session_id", "") for each in (*before, *nodes)}
            return len(sessions - {""}) == 4 and not any("disconnected_since" in it for it in nodes)

        await until(others, "both workers are back")
        await site.well(3)
        await load.more_until(100)
    assert load.failures(since=ready) == []


# A Traefik that misses its master on a busy machine asks again after 5 s, 20 s, 45 s.
@pytest.mark.timeout(240)
async def test_with_a_second_try_neither_a_death_nor_a_new_master_costs_a_request(
    site: Site,
) -> None:
    answer = await site.http.post("/services/web", json=_spec(again=True))
    assert answer.status_code in {200, 201}, answer.text
    three = await site.well(3)
    names = {entry["Service"]["ID"] for entry in three}
    async with calling(site.url) as load:
        await load.names_until(names)
        ready = time.monotonic()
        _kill(three[0])
        await site.well(3)
        await load.names_until(names)
        site.master.kill()
        await load.more_until(100)
        await site.cluster.restart(site.master)
        await load.more_until(100)
        # The same programs, at the same places.
        assert await site.well(3)
        await load.names_until(names, within_s=90)
        await site.scale(4)
        four = {entry["Service"]["ID"] for entry in await site.well(4)}
        await load.names_until(four, within_s=90)
    assert load.failures(since=ready) == []
