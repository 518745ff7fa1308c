"""A real Traefik, set up as deploy/discovery has it, leads its callers to those that are well."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from callers import calling
from http_door import HttpDoor
from instances_by_hand import InstancesByHand
from listed_instances import ListedInstances
from real_programs import DOOR, configured, free_port, program, running

ROUTE = {
    "traefik.enable": "true",
    "traefik.http.routers.web.rule": "PathPrefix(`/`)",
    "traefik.http.routers.web.entrypoints": "web",
}
# A caller is led to another instance where one does not answer.
AGAIN = {
    "traefik.http.routers.web.middlewares": "again",
    "traefik.http.middlewares.again.retry.attempts": "3",
}
# From the moment that the master knows of a death to the last request that it costs: some 0.2 s
# where nothing else runs.
BOUND_S = 5.0


@pytest.fixture
def by_hand(listed: ListedInstances, tmp_path: Path) -> Iterator[InstancesByHand]:
    """Instances that the test starts and kills."""
    with ExitStack() as stack:
        yield InstancesByHand(listed, tmp_path, stack)


@pytest.fixture
def traefik(door: HttpDoor, tmp_path: Path) -> Iterator[str]:
    """Where a Traefik listens that has our door for its Consul."""
    found, port = program("traefik"), free_port()
    changes = {DOOR: door.address, ":8080": f"127.0.0.1:{port}"}
    config = configured("traefik.yml", tmp_path, **changes)
    with running(found, f"--configfile={config}", output=tmp_path / "traefik.log"):
        yield f"http://127.0.0.1:{port}/"


async def test_a_death_costs_no_request_beyond_the_bound_and_a_new_one_costs_none(
    by_hand: InstancesByHand, traefik: str
) -> None:
    by_hand.labels = ROUTE
    for _ in range(3):
        by_hand.start("web")
    async with calling(traefik) as load:
        await load.names_until({"web-1", "web-2", "web-3"})
        ready = time.monotonic()
        await load.more_until(100)
        assert load.failures(since=ready) == []

        by_hand.kill("web-2")
        killed = time.monotonic()
        await load.names_until({"web-1", "web-3"})
        by_hand.start("web")
        await load.names_until({"web-1", "web-3", "web-4"})
        await load.more_until(100)
    last = max((call.ended for call in load.failures(since=ready)), default=killed)
    print(f"{len(load.failures(ready))} failed, the last {last - killed:.3f} s after the death")
    assert last - killed < BOUND_S
    assert load.failures(since=killed + BOUND_S) == []


async def test_with_a_second_try_a_death_costs_no_request_at_all(
    by_hand: InstancesByHand, traefik: str
) -> None:
    by_hand.labels = ROUTE | AGAIN
    for _ in range(3):
        by_hand.start("web")
    async with calling(traefik) as load:
        await load.names_until({"web-1", "web-2", "web-3"})
        ready = time.monotonic()
        # Nobody notices for as long as a hundred requests take.
        by_hand.kill("web-2", tell=False)
        await load.more_until(100)
        by_hand.forget("web-2")
        await load.names_until({"web-1", "web-3"})
    assert load.failures(since=ready) == []


async def test_what_is_not_well_is_led_nobody_to(
    listed: ListedInstances, by_hand: InstancesByHand, traefik: str
) -> None:
    by_hand.labels = ROUTE
    by_hand.start("web")
    by_hand.start("web")
    async with calling(traefik) as load:
        await load.names_until({"web-1", "web-2"})
        by_hand.ail("web-1")
        await load.names_until({"web-2"})
        by_hand.ail("web-1", healthy=True)
        await load.names_until({"web-1", "web-2"})
        # A master that starts over forgets nothing for those who ask.
        listed.settled = False
        moment = time.monotonic()
        await load.more_until(100)
        assert load.failures(since=moment) == []
        assert load.names(since=moment) == {"web-1", "web-2"}
