"""What nodes report is what is listed and watched, and only what no task stands for is unwanted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from node_by_hand import HEALTHY, TYPES, HandNode, create, node, place, running
from wired_master import WiredMaster, read, refusal, serving, until

from pullwork.errors import InvalidFieldError, ServiceNotFoundError, SessionLostError
from pullwork.v1 import node_service_pb2 as n
from pullwork.v1 import orchestrator_service_pb2 as o
from pullwork.v1 import service_pb2
from pullwork_master.core.commands import Deregister
from pullwork_master.orchestrator.roster import Roster
from pullwork_master.reconciler.model import Lack
from pullwork_master.storage.base import Storage
from pullwork_master.wire import service_watch

STARTING = service_pb2.INSTANCE_STATE_STARTING
PENDING = service_pb2.INSTANCE_STATE_PENDING
STRANGER = "0198c0de-0000-7000-8000-00000000abcd"


async def listed(master: WiredMaster, size: int = 0, **chosen: Any) -> list[service_pb2.Instance]:
    """Lists instances, a page at a time."""
    told: list[service_pb2.Instance] = []
    token = ""
    while True:
        request = o.ListInstancesRequest(page_size=size, page_token=token, **chosen)
        page = await master.services.ListInstances(request)
        told += page.instances
        token = page.next_page_token
        if not token:
            return told


def watch(master: WiredMaster, service: str = "web") -> Any:
    """Opens a stream of instances."""
    return master.services.WatchInstances(o.WatchInstancesRequest(service=service))


async def test_what_a_node_reports_is_what_is_listed(master: WiredMaster) -> None:
    made = await running(master)
    (told,) = await listed(master, service="web")
    (reported,) = made.has.values()
    assert (told.id, told.service, told.node, told.state) == ("web-1", "web", "n1", HEALTHY)
    assert list(told.addresses) == list(reported.addresses)
    assert told.task_id == reported.task_id
    assert not told.disconnected
    (shown,) = (await master.services.ListServices(o.ListServicesRequest())).services
    assert (shown.healthy, shown.running) == (1, 1)


async def test_only_what_no_task_stands_for_is_unwanted(stored: WiredMaster) -> None:
    made = await running(stored)
    assert await made.report() == []
    made.has[STRANGER] = n.InstanceReport(
        task_id=STRANGER.upper(), instance_id="web-9", state=HEALTHY
    )
    assert await made.report() == [STRANGER]
    (task_id,) = [each for each in made.has if each != STRANGER]
    # An instance whose lease is gone is wanted all the same.
    await made.worker.leave()
    again = await node(stored)
    again.has = made.has
    assert await again.report() == [STRANGER]
    await place(stored, "n2", 2)
    assert set(await again.report()) == {STRANGER}
    assert task_id in again.has


async def test_the_reports_of_another_node_don_t_touch_an_instance(master: WiredMaster) -> None:
    made = await running(master)
    other = await node(master, "n2")
    other.has = made.has
    assert await other.report() == list(made.has)
    (told,) = [each for each in await listed(master) if each.node == "n1"]
    assert told.state == HEALTHY


async def test_instances_are_chosen_by_service_node_and_state(master: WiredMaster) -> None:
    first = await running(master, 2)
    await create(master, "api")
    await place(master, "n1", 1, "api")
    await place(master, "n2", 2, "api")
    await first.take(state=STARTING)
    await first.report()

    async def ids(**chosen: Any) -> list[str]:
        return [each.id for each in await listed(master, **chosen)]

    assert await ids() == ["api-1", "api-2", "web-1", "web-2"]
    assert await ids(service="api") == ["api-1", "api-2"]
    assert await ids(node="n1") == ["api-1", "web-1", "web-2"]
    assert await ids(states=[STARTING, PENDING]) == ["api-1", "api-2"]
    assert await ids(service="web", node="n2") == []


async def test_pages_tell_each_instance_once_and_those_without_a_place_last(
    master: WiredMaster,
) -> None:
    await running(master, 12)
    roster: Roster = master.orchestrator.roster
    roster.lacking([Lack("web", 3, "no node has room")])
    wanted = [f"web-{number}" for number in range(1, 13)] + [""] * 3
    for size in (1, 4, 14, 0):
        told = await listed(master, size)
        assert [each.id for each in told] == wanted
        assert told[-1].reason == "no node has room"


async def test_a_token_is_of_its_own_query_only(master: WiredMaster) -> None:
    await running(master, 2)
    page = await master.services.ListInstances(o.ListInstancesRequest(page_size=1))
    for wrong in (
        o.ListInstancesRequest(page_token=page.next_page_token, service="web"),
        o.ListInstancesRequest(page_token=page.next_page_token, states=[HEALTHY]),
        o.ListInstancesRequest(page_token="x"),
    ):
        error = await refusal(master.services.ListInstances(wrong))
        assert isinstance(error, InvalidFieldError)
        assert error.field == "page_token"


async def test_a_watch_tells_all_instances_each_time_something_changed(
    master: WiredMaster,
) -> None:
    made = await running(master)
    stream = watch(master)
    first = await read(stream)
    assert [each.id for each in first.instances] == ["web-1"]
    await place(master, "n1", 2)
    second = await read(stream)
    assert [each.state for each in second.instances] == [HEALTHY, PENDING]
    await made.take()
    await made.report()
    third = await read(stream)
    assert [each.state for each in third.instances] == [HEALTHY, HEALTHY]
    assert first.generation < second.generation < third.generation
    stream.cancel()


async def test_a_report_that_says_nothing_new_wakes_nobody(master: WiredMaster) -> None:
    made = await running(master)
    before = master.orchestrator.generation("web")
    await made.report()
    assert master.orchestrator.generation("web") == before


async def test_the_watch_of_a_service_hears_nothing_of_others(master: WiredMaster) -> None:
    await running(master)
    stream = watch(master)
    first = await read(stream)
    await create(master, "api")
    await place(master, "n1", 1, "api")
    await place(master, "n1", 2)
    second = await read(stream)
    assert {each.service for each in second.instances} == {"web"}
    everything = watch(master, "")
    told = await read(everything)
    assert [each.id for each in told.instances] == ["api-1", "web-1", "web-2"]
    assert told.generation >= second.generation > first.generation
    for each in (stream, everything):
        each.cancel()


async def test_a_watch_ends_by_name_when_its_service_is_deleted(master: WiredMaster) -> None:
    await running(master)
    stream = watch(master)
    await read(stream)
    await master.services.DeleteService(o.DeleteServiceRequest(name="web"))

    async def to_the_end() -> None:
        while True:
            await read(stream)

    error = await refusal(to_the_end())
    assert isinstance(error, ServiceNotFoundError)
    assert "'web'" in str(error)


async def test_many_instances_come_in_parts_of_one_generation(
    master: WiredMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await running(master, 9)
    monkeypatch.setattr("pullwork_master.core.limits.PAGE_BYTES_MAX", 200)
    stream = watch(master)
    parts = [await read(stream)]
    while parts[-1].more:
        parts.append(await read(stream))
    stream.cancel()
    assert len(parts) > 2
    assert len({part.generation for part in parts}) == 1
    assert [each.id for part in parts for each in part.instances] == [
        f"web-{number}" for number in range(1, 10)
    ]


async def test_what_changes_while_nobody_reads_is_told_as_it_is_in_the_end(
    master: WiredMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_watch, "PAUSE_S", 0.3)
    made = await running(master)
    stream = watch(master)
    await read(stream)
    for number in range(2, 30):
        await place(master, "n1", number)
    await made.take()
    await made.report()
    messages = [await read(stream)]
    while sum(each.state == HEALTHY for each in messages[-1].instances) < 29:
        messages.append(await read(stream))
    stream.cancel()
    assert len(messages) <= 3


async def test_after_a_restart_a_watch_tells_nothing_before_nodes_are_back(
    storage: Storage,
) -> None:
    async with serving(storage) as master:
        made = await running(master)
        told = (await read(watch(master))).generation
        has = made.has
    async with serving(storage) as master:
        stream = watch(master)
        message = asyncio.create_task(read(stream))
        back = await node(master, "n2")
        assert await back.report() == []
        assert not message.done()
        again = await node_again(master, has)
        await again.report()
        first = await message
        assert [each.state for each in first.instances] == [HEALTHY]
        assert first.generation > told
        stream.cancel()


async def node_again(master: WiredMaster, has: dict[str, n.InstanceReport]) -> HandNode:
    """Registers the node that came back with what it had, and has not reported yet."""
    queue = "pullwork.node/n1"
    worker = await master.worker(queue, queues=[queue], task_types=TYPES, slots=100)
    made = HandNode(master, "n1", worker)
    made.has = has
    return made


async def test_a_node_out_of_reach_shows_in_its_instances(master: WiredMaster) -> None:
    made = await running(master)
    stream = watch(master)
    await read(stream)
    await made.worker.leave()
    told = await read(stream)
    while not told.instances[0].disconnected:
        told = await read(stream)
    assert [each.id for each in told.instances] == ["web-1"]
    stream.cancel()


async def test_reports_are_of_nodes_with_a_session(master: WiredMaster) -> None:
    ordinary = await master.worker()
    request = n.ReportInstancesRequest(session_id=ordinary.session_id)
    error = await refusal(master.nodes.ReportInstances(request))
    assert isinstance(error, InvalidFieldError)
    assert error.field == "session_id"
    made = await node(master)
    await master.engine.ask(Deregister(made.session_id))
    request = n.ReportInstancesRequest(session_id=made.session_id)
    gone = await refusal(master.nodes.ReportInstances(request))
    assert isinstance(gone, SessionLostError)
    assert made.session_id in str(gone)


async def test_a_broken_watch_leaves_nothing_behind(master: WiredMaster) -> None:
    await running(master)
    before = len(asyncio.all_tasks())
    streams = [watch(master), watch(master, "")]
    for stream in streams:
        await read(stream)
    for stream in streams:
        stream.cancel()
    await until(lambda: len(asyncio.all_tasks()) <= before, "the watches are gone")
    assert not master.orchestrator.roster.generations._bells
