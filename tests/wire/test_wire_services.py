"""Services are made, shown, changed and ended over the port, each call wholly or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf import json_format
from node_by_hand import create, get, node, place, running, spec, update
from wired_master import WiredMaster, read, refusal, serving

from pullwork.errors import (
    InvalidFieldError,
    RevisionConflictError,
    ServiceExistsError,
    ServiceNotFoundError,
    ShuttingDownError,
    TooManyRequestsError,
)
from pullwork.v1 import orchestrator_service_pb2 as o
from pullwork.v1 import service_pb2
from pullwork_master.storage.base import Storage
from pullwork_master.storage.memory import MemoryStorage
from pullwork_master.wire import service_specs, service_watch


async def names(master: WiredMaster, size: int = 0) -> list[str]:
    """Lists all services, a page at a time."""
    told: list[str] = []
    token = ""
    while True:
        request = o.ListServicesRequest(page_size=size, page_token=token)
        page = await master.services.ListServices(request)
        told += [each.name for each in page.services]
        token = page.next_page_token
        if not token:
            return told


async def test_what_was_made_is_shown_with_every_default(stored: WiredMaster) -> None:
    made = await create(stored, image="nginx", ports=[{"port": 80}])
    assert made == await get(stored)
    assert made.spec == service_specs.filled(spec(image="nginx", ports=[{"port": 80}]))
    assert (made.name, made.healthy, made.running) == ("web", 0, 0)
    assert made.revision == made.version > 0
    assert made.rollout.state == service_pb2.ROLLOUT_STATE_ROLLING
    assert made.created_at == made.updated_at


async def test_a_name_is_given_once(master: WiredMaster) -> None:
    made = await create(master)
    request = o.CreateServiceRequest(name="web", spec=spec(image="other"))
    for dry_run in (False, True):
        request.dry_run = dry_run
        error = await refusal(master.services.CreateService(request))
        assert isinstance(error, ServiceExistsError)
        assert "'web'" in str(error)
    assert await get(master) == made


async def test_what_is_only_tried_is_told_and_not_done(master: WiredMaster) -> None:
    request = o.CreateServiceRequest(name="web", spec=spec(), dry_run=True)
    told = (await master.services.CreateService(request)).service
    assert told.spec == service_specs.filled(spec())
    assert await names(master) == []
    made = await create(master)
    would = await update(master, instances=3, more={"dry_run": True})
    assert (would.service.spec.instances, would.changed) == (3, True)
    assert await get(master) == made
    bad = o.UpdateServiceRequest(name="web", spec=spec(instances=-1), dry_run=True)
    assert isinstance(await refusal(master.services.UpdateService(bad)), InvalidFieldError)


async def test_asking_for_an_unknown_name_makes_nothing(master: WiredMaster) -> None:
    stub = master.services
    calls: list[Any] = [
        stub.GetService(o.GetServiceRequest(name="none")),
        stub.ScaleService(o.ScaleServiceRequest(name="none", instances=1)),
        stub.UpdateService(o.UpdateServiceRequest(name="none", spec=spec())),
        stub.DeleteService(o.DeleteServiceRequest(name="none")),
        stub.ListInstances(o.ListInstancesRequest(service="none")),
        read(stub.WatchInstances(o.WatchInstancesRequest(service="none"))),
        read(stub.WatchLogs(o.WatchLogsRequest(service="none"))),
    ]
    for call in calls:
        error = await refusal(call)
        assert isinstance(error, ServiceNotFoundError)
        assert "'none'" in str(error)
    assert await names(master) == []


async def test_a_change_of_numbers_replaces_nothing(stored: WiredMaster) -> None:
    made = await create(stored)
    request = o.ScaleServiceRequest(name="web", instances=0)
    scaled = (await stored.services.ScaleService(request)).service
    assert (scaled.spec.instances, scaled.version) == (0, made.version)
    assert scaled.revision > made.revision
    again = (await stored.services.ScaleService(request)).service
    assert again == scaled
    more = await update(stored, instances=4, placement={"max_per_node": 2})
    assert (more.changed, more.replaces_instances) == (True, False)
    assert more.service.version == made.version
    assert (await get(stored)) == more.service


async def test_a_change_of_what_instances_are_made_of_makes_a_version(stored: WiredMaster) -> None:
    made = await create(stored)
    done = await update(stored, env={"A": "1"})
    assert (done.changed, done.replaces_instances) == (True, True)
    assert done.service.version == done.service.revision > made.version
    assert done.service.spec.command == ["serve"]
    same = await update(stored, env={"A": "1"})
    assert (same.changed, same.replaces_instances) == (False, False)
    assert same.service == done.service


async def test_replacing_all_takes_the_defaults_for_what_is_not_named(master: WiredMaster) -> None:
    await create(master, command=["a"], env={"A": "1"}, instances=5, labels={"x": "y"})
    await update(master, env={}, labels={})
    assert dict((await get(master)).spec.env) == {"A": "1"}
    await update(master, command=["b"], more={"replace": True})
    assert (await get(master)).spec == service_specs.filled(spec(command=["b"]))


async def test_what_was_shown_can_be_sent_back_and_changes_nothing(master: WiredMaster) -> None:
    made = await create(master, image="nginx", ports=[{"port": 80}], health={"http": {}})
    for replace in (False, True):
        request = o.UpdateServiceRequest(name="web", spec=made.spec, replace=replace)
        assert not (await master.services.UpdateService(request)).changed


async def test_who_looked_at_an_older_revision_changes_nothing(master: WiredMaster) -> None:
    made = await create(master)
    await update(master, instances=2, more={"expected_revision": made.revision})
    for more in ({}, {"dry_run": True}):
        late = o.UpdateServiceRequest(
            name="web", spec=spec(instances=9), expected_revision=made.revision, **more
        )
        error = await refusal(master.services.UpdateService(late))
        assert isinstance(error, RevisionConflictError)
        assert str(made.revision) in str(error)
    assert (await get(master)).spec.instances == 2


async def test_changes_at_the_same_time_are_all_kept(stored: WiredMaster) -> None:
    await create(stored)
    fields: list[dict[str, Any]] = [
        {"instances": 3},
        {"labels": {"a": "b"}},
        {"stop_grace": "3s"},
        {"placement": {"max_per_node": 1}},
        {"env": {"A": "1"}},
    ]
    await asyncio.gather(*(update(stored, **each) for each in fields))
    told = (await get(stored)).spec
    for each in fields:
        change = json_format.ParseDict(each, service_pb2.ServiceSpec())
        assert service_specs.filled(service_specs.merged(told, change)) == told


async def test_a_deleted_service_is_gone_and_its_name_free(stored: WiredMaster) -> None:
    made = await create(stored)
    request = o.DeleteServiceRequest(name="web")
    assert (await stored.services.DeleteService(request)).service == made
    error = await refusal(stored.services.DeleteService(request))
    assert isinstance(error, ServiceNotFoundError)
    again = await create(stored)
    assert again.revision > made.revision


async def test_pages_of_services_tell_each_once_and_by_name(master: WiredMaster) -> None:
    wanted = sorted(f"s{number}" for number in range(7))
    for name in reversed(wanted):
        await create(master, name)
    for size in (1, 2, 3, 7, 0):
        assert await names(master, size) == wanted


async def test_there_are_no_more_services_than_the_master_keeps() -> None:
    async with serving(MemoryStorage(), services_max=2) as master:
        await create(master, "a")
        await create(master, "b")
        request = o.CreateServiceRequest(name="c", spec=spec())
        error = await refusal(master.services.CreateService(request))
        assert isinstance(error, TooManyRequestsError)
        assert error.retry_after_s
        assert await names(master) == ["a", "b"]


async def test_what_was_answered_stands_after_a_restart(storage: Storage) -> None:
    async with serving(storage) as master:
        await create(master, env={"A": "1"}, command=["a"])
        done = await update(master, instances=7)
    async with serving(storage) as master:
        told = await get(master)
        assert (told.spec, told.revision, told.version) == (
            done.service.spec,
            done.service.revision,
            done.service.version,
        )


async def test_a_watch_tells_all_services_then_each_change(master: WiredMaster) -> None:
    await create(master, "a")
    stream = master.services.WatchServices(o.WatchServicesRequest())
    first = await read(stream)
    assert [each.name for each in first.snapshot.services] == ["a"]
    assert not first.snapshot.more
    made = await create(master, "b")
    assert (await read(stream)).changed == made
    done = await update(master, "b", instances=5)
    assert (await read(stream)).changed == done.service
    await master.services.DeleteService(o.DeleteServiceRequest(name="a"))
    assert (await read(stream)).deleted.name == "a"
    stream.cancel()


async def test_a_watch_of_nothing_begins_with_nothing(master: WiredMaster) -> None:
    stream = master.services.WatchServices(o.WatchServicesRequest())
    first = await read(stream)
    assert first.WhichOneof("event") == "snapshot"
    assert not first.snapshot.services
    everything = master.services.WatchInstances(o.WatchInstancesRequest())
    assert list((await read(everything)).instances) == []
    for each in (stream, everything):
        each.cancel()


async def test_many_services_come_in_parts(
    master: WiredMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [f"s{number:02}" for number in range(75)]
    env = {"A": "x" * 60_000}
    for name in wanted:
        await create(master, name, command=["a"], env=env)
    # All of them are 4.5 MB, more than one message may have.
    stream = master.services.WatchServices(o.WatchServicesRequest())
    told, more = [], True
    while more:
        part = (await read(stream)).snapshot
        told += [each.name for each in part.services]
        more = part.more
    stream.cancel()
    assert told == wanted
    assert await names(master, 1_000) == wanted


async def test_changes_that_come_together_are_told_together(
    master: WiredMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_watch, "PAUSE_S", 0.3)
    await create(master)
    stream = master.services.WatchServices(o.WatchServicesRequest())
    await read(stream)
    await update(master, instances=1_000)
    await read(stream)
    for instances in range(2, 20):
        await update(master, instances=instances)
    messages = [await read(stream)]
    while messages[-1].changed.spec.instances != 19:
        messages.append(await read(stream))
    stream.cancel()
    assert len(messages) <= 3


async def test_a_stop_ends_the_watches_by_name(master: WiredMaster) -> None:
    await running(master)
    streams: list[Any] = [
        master.services.WatchServices(o.WatchServicesRequest()),
        master.services.WatchInstances(o.WatchInstancesRequest(service="web")),
    ]
    for stream in streams:
        await read(stream)
    await master.stop(grace_s=10)
    for stream in streams:
        assert isinstance(await refusal(stream.read()), ShuttingDownError)


async def test_nodes_are_listed_with_what_placement_knows(master: WiredMaster) -> None:
    made = await running(master, 2)
    await node(master, "n0")
    await made.report(problem="the engine does not answer", runners=["process"])
    page = await master.services.ListNodes(o.ListNodesRequest(page_size=1))
    assert [each.name for each in page.nodes] == ["n0"]
    rest = o.ListNodesRequest(page_token=page.next_page_token)
    (told,) = (await master.services.ListNodes(rest)).nodes
    assert (told.name, told.session_id) == ("n1", made.session_id)
    assert (told.instances, told.instances_max, told.cpus) == (2, 100, 4)
    assert (list(told.runners), told.problem) == (["process"], "the engine does not answer")
    await made.worker.leave()
    again = await master.services.ListNodes(o.ListNodesRequest())
    assert [bool(each.session_id) for each in again.nodes] == [True, False]
    assert again.nodes[1].HasField("disconnected_since")
    await place(master, "n0", 3)
