"""The catalogue is what the roster knows: what runs and can be reached, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from orchestrated import STARTING, Bench, a_start
from placed_instances import PORTS, addresses, ids_of, listing_of, placed

from pullwork.v1 import service_pb2
from pullwork_master.gateway.discovery import listing
from pullwork_master.gateway.discovery.listing import Listing

UNHEALTHY = service_pb2.INSTANCE_STATE_UNHEALTHY
STOPPING = service_pb2.INSTANCE_STATE_STOPPING


async def test_each_port_of_an_instance_is_an_endpoint(bench: Bench) -> None:
    await placed(bench)
    first, second = listing_of(bench).endpoints("web")
    assert (first.service, first.instance, first.node) == ("web", "web-1", "n1")
    assert (first.port_name, first.first, first.address) == ("http", True, "10.0.0.1:8000")
    assert (second.port_name, second.first, second.address) == ("metrics", False, "10.0.0.1:8001")
    assert first.healthy
    assert first.labels == {"tier": "front"}


async def test_what_has_not_been_well_or_is_ending_is_not_there(bench: Bench) -> None:
    node, task_id = await placed(bench)
    found = listing_of(bench)
    for state, there in {STARTING: 0, UNHEALTHY: 2, STOPPING: 0}.items():
        node.put(task_id, "web-1", state, addresses=addresses("http", "metrics"))
        node.report()
        assert len(found.endpoints()) == there
        assert not any(each.healthy for each in found.endpoints())


async def test_what_ended_or_has_no_address_is_not_there(bench: Bench) -> None:
    node, task_id = await placed(bench)
    found = listing_of(bench)
    node.put(task_id, "web-1")
    node.report()
    assert ids_of(found) == []
    node.put(task_id, "web-1", addresses=addresses("http"))
    node.report()
    assert ids_of(found) == ["web-1:http"]
    await node.exits(task_id)
    assert ids_of(found) == []


async def test_until_nodes_have_reported_after_a_restart_nothing_is_settled(bench: Bench) -> None:
    node, _ = await placed(bench)
    before = listing_of(bench).generation("web")
    await bench.restart()
    found = listing_of(bench)
    assert not found.settled
    await node.join()
    await node.work()
    assert found.settled
    assert len(found.endpoints()) == 2
    assert found.generation("web") > before


async def test_labels_and_the_first_port_are_those_wanted_now(bench: Bench) -> None:
    await placed(bench)
    found = listing_of(bench)

    def changed(spec: service_pb2.ServiceSpec) -> service_pb2.ServiceSpec:
        made = service_pb2.ServiceSpec()
        made.CopyFrom(spec)
        made.ports.reverse()
        made.labels["tier"] = "back"
        return made

    await bench.services.update("web", changed)
    assert [(each.port_name, each.first) for each in found.endpoints()] == [
        ("http", False),
        ("metrics", True),
    ]
    assert found.endpoints()[0].labels == {"tier": "back"}


async def test_an_instance_without_the_port_wanted_now_keeps_its_own_first(bench: Bench) -> None:
    node, task_id = await placed(bench)
    node.put(task_id, "web-1", addresses=addresses("old", "older"))
    node.report()
    ports = [(each.port_name, each.first) for each in listing_of(bench).endpoints()]
    assert ports == [("old", True), ("older", False)]


async def test_each_change_has_a_new_number(bench: Bench) -> None:
    found = listing_of(bench)
    node, task_id = await placed(bench)
    last = found.generation("web")
    assert 0 < last <= found.generation()
    for state in (UNHEALTHY, service_pb2.INSTANCE_STATE_HEALTHY):
        node.put(task_id, "web-1", state, addresses=addresses("http"))
        node.report()
        assert found.generation("web") > last
        last = found.generation("web")
    await bench.create("db")
    assert found.generation("web") == last
    assert found.generation("db") > last


async def test_an_unknown_service_is_waited_for_and_a_deleted_one_is_told(bench: Bench) -> None:
    found = listing_of(bench)
    of_none = found.generation("db")
    assert of_none == found.generation()
    coming = asyncio.create_task(found.changed(of_none, "db"))
    await asyncio.wait({coming}, timeout=0.05)
    assert not coming.done()
    await bench.create("db")
    await asyncio.wait_for(coming, 20)
    last = found.generation("db")
    going = asyncio.create_task(found.changed(last, "db"))
    await asyncio.wait({going}, timeout=0.05)
    assert not going.done()
    await bench.services.delete("db")
    await asyncio.wait_for(going, 20)
    assert found.generation("db") > last


async def test_what_has_not_changed_is_not_made_anew(bench: Bench) -> None:
    node, _ = await placed(bench)
    other = await bench.place(a_start("web-2"))
    await node.work()
    found = listing_of(bench)
    node.put(other, "web-2", addresses=addresses("http"))
    node.report()
    before = found.endpoints("web")
    node.put(other, "web-2", UNHEALTHY, addresses=addresses("http"))
    node.report()
    after = found.endpoints("web")
    assert [each.healthy for each in after] == [True, True, False]
    assert [one is two for one, two in zip(before, after, strict=True)] == [True, True, False]


async def test_all_are_sorted_by_service(bench: Bench) -> None:
    await bench.create("db", ports=PORTS[:1])
    await placed(bench)
    node = bench.nodes["n1"]
    task_id = await bench.place(a_start("db-1"))
    await node.work()
    node.put(task_id, "db-1", addresses=addresses("http"))
    node.report()
    found = listing_of(bench)
    assert ids_of(found) == ["db-1:http", "web-1:http", "web-1:metrics"]
    await bench.services.delete("db")
    assert ids_of(found) == ["web-1:http", "web-1:metrics"]


def those_that_start(patch: pytest.MonkeyPatch) -> None:
    """Callers are led to what was never well."""
    patch.setattr(listing, "_RUNS", (*listing._RUNS, STARTING))


def those_that_end(patch: pytest.MonkeyPatch) -> None:
    """Callers are led to what is ending."""
    patch.setattr(listing, "_RUNS", (*listing._RUNS, STOPPING))


def only_the_well(patch: pytest.MonkeyPatch) -> None:
    """What is not well is gone, as if it did not run."""
    patch.setattr(listing, "_RUNS", listing._RUNS[:1])


def those_of_yesterday(patch: pytest.MonkeyPatch) -> None:
    """What was once found is told for ever."""
    of = Listing._of

    def kept(self: Listing, service: str) -> Any:
        made = self._made.get(service)
        return made.endpoints if made is not None else of(self, service)

    patch.setattr(Listing, "_of", kept)


def an_unknown_service_has_no_news(patch: pytest.MonkeyPatch) -> None:
    """Who waits for a service that is not there yet waits for ever, or not at all."""
    patch.setattr(Listing, "_known", lambda self, service: service)


def kept_by_its_id(patch: pytest.MonkeyPatch) -> None:
    """What is known of an instance is never looked at again."""
    part = listing._Part
    made: dict[str, Any] = {}

    def first(shown: service_pb2.Instance, endpoints: Any) -> Any:
        return made.setdefault(shown.task_id, part(shown, endpoints))

    patch.setattr(listing, "_Part", first)


LAWS: list[tuple[Callable[[pytest.MonkeyPatch], None], Callable[[Bench], Any]]] = [
    (those_that_start, test_what_has_not_been_well_or_is_ending_is_not_there),
    (those_that_end, test_what_has_not_been_well_or_is_ending_is_not_there),
    (only_the_well, test_what_has_not_been_well_or_is_ending_is_not_there),
    (kept_by_its_id, test_what_has_not_changed_is_not_made_anew),
    (those_of_yesterday, test_what_ended_or_has_no_address_is_not_there),
    (
        an_unknown_service_has_no_news,
        test_an_unknown_service_is_waited_for_and_a_deleted_one_is_told,
    ),
]


@pytest.mark.parametrize(("planted", "law"), LAWS, ids=lambda it: it.__name__)
async def test_a_planted_bug_is_caught(
    planted: Callable[[pytest.MonkeyPatch], None],
    law: Callable[[Bench], Any],
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planted(monkeypatch)
    with pytest.raises(AssertionError):
        await law(bench)
    monkeypatch.undo()
