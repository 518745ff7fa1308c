"""A service over the port, from its making to its end: the real master, and nodes by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from node_by_hand import HandNode, create, get, node, place, running, update
from wired_master import PATIENCE_S, WiredMaster, failed

from pullwork.v1 import orchestrator_service_pb2 as o
from pullwork.v1 import service_pb2
from pullwork.v1 import task_service_pb2 as t
from pullwork_master.core.commands import Drain, Submit
from pullwork_master.orchestrator import instances
from pullwork_master.reconciler.model import Exit, Start

HEALTHY = service_pb2.INSTANCE_STATE_HEALTHY


@pytest.fixture
async def alive(stored: WiredMaster) -> AsyncIterator[WiredMaster]:
    """A master that makes what there is into what is wanted."""
    stored.orchestrator.start()
    yield stored
    await stored.orchestrator.close()


async def until_kept(nodes: list[HandNode], true: Callable[[], Awaitable[bool]], what: str) -> None:
    """Lets nodes do their work until a condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not await true():
        assert time.monotonic() < deadline, f"{PATIENCE_S:g} s passed, and still not: {what}"
        for each in nodes:
            await each.step()
        await asyncio.sleep(0.03)


def healthy(master: WiredMaster, count: int) -> Callable[[], Awaitable[bool]]:
    """Whether so many instances are healthy, and no others there."""

    async def true() -> bool:
        told = await master.services.ListInstances(o.ListInstancesRequest())
        return [each.state for each in told.instances] == [HEALTHY] * count

    return true


async def test_a_service_lives_from_its_making_to_its_end(alive: WiredMaster) -> None:
    nodes = [await node(alive, name) for name in ("n1", "n2")]
    await create(alive, command=["serve"], ports=[{}], instances=4)
    await until_kept(nodes, healthy(alive, 4), "four are healthy")
    assert sorted(len(each.has) for each in nodes) == [2, 2]
    assert (await get(alive)).healthy == 4
    await update(alive, instances=1)
    await until_kept(nodes, healthy(alive, 1), "one is left")
    await update(alive, instances=3)
    await until_kept(nodes, healthy(alive, 3), "three are healthy")
    await update(alive, instances=0)
    await until_kept(nodes, healthy(alive, 0), "none is left")
    assert (await get(alive)).spec.instances == 0
    await update(alive, instances=2)
    await until_kept(nodes, healthy(alive, 2), "two are healthy")
    await alive.services.DeleteService(o.DeleteServiceRequest(name="web"))
    await until_kept(nodes, healthy(alive, 0), "nothing is left of it")
    assert not any(each.has for each in nodes)


async def test_more_than_fit_wait_with_the_reason(alive: WiredMaster) -> None:
    only = await node(alive)
    await create(alive, command=["serve"], placement={"max_per_node": 1}, instances=3)

    async def told() -> bool:
        shown = await get(alive)
        return shown.healthy == 1 and bool(shown.pending)

    await until_kept([only], told, "one is healthy, and it is told why the others are not")
    listed = await alive.services.ListInstances(o.ListInstancesRequest(service="web"))
    assert [bool(each.reason) for each in listed.instances] == [False, True, True]


async def test_one_that_ends_at_once_is_shown_with_its_last_words(alive: WiredMaster) -> None:
    only = await node(alive)
    await create(alive, command=["serve"], restart={"initial_backoff": "60s"})

    async def shown() -> list[service_pb2.Instance]:
        return list((await alive.services.ListInstances(o.ListInstancesRequest())).instances)

    async def twice() -> bool:
        for ticket in await only.take():
            only.has.clear()
            await only.worker.report(
                failed(ticket, message="exit code 3", details='{"code": 3, "log": "no such file"}')
            )
        told = await shown()
        return bool(told) and told[0].restarts >= 1 and bool(told[0].last_exit.log)

    await until_kept([only], twice, "it was started again")
    (told,) = await shown()
    assert (told.last_exit.code, told.last_exit.log) == (3, "no such file")
    assert told.last_exit.reason == "exit code 3"


# --- why is it where it is? -------------------------------------------------------------


async def sentence(master: WiredMaster, task_id: str) -> str:
    """Asks why a task is where it is."""
    request = t.ExplainTaskRequest(task_id=task_id)
    return (await master.tasks.ExplainTask(request)).sentence


async def test_an_instance_is_explained_in_the_words_of_services(stored: WiredMaster) -> None:
    await create(stored)
    task_id = await place(stored, "n1")
    about = "It is instance web-1 of service 'web' on node 'n1'"
    assert (await sentence(stored, task_id)).startswith(f"{about}: the node is not connected")
    made = await node(stored)
    assert "not fetched it yet" in await sentence(stored, task_id)
    await stored.engine.ask(Drain(made.session_id))
    assert "draining" in await sentence(stored, task_id)


async def test_a_running_instance_and_one_that_waits_are_explained(stored: WiredMaster) -> None:
    made = await running(stored)
    (task_id,) = made.has
    told = await sentence(stored, task_id)
    assert told.startswith("It is instance web-1 of service 'web' on node 'n1'. It is running on")
    wanted = stored.orchestrator.roster.services["web"].service.wanted
    again = Start(
        "web-1",
        "web",
        1,
        "n1",
        wanted.template,
        wanted.runner,
        not_before_ms=stored.clock.wall_ms + 60_000,
        last_exit=Exit("exit code 3", 3, stored.clock.wall_ms),
    )
    new = instances.new_task(again)
    await stored.engine.ask(Submit((new,)))
    told = await sentence(stored, new.spec.id)
    assert "It ended (exit code 3) and starts again." in told
    assert "60.0 s" in told


async def test_ordinary_tasks_are_explained_as_before(master: WiredMaster) -> None:
    (task_id,) = await master.submit()
    assert await sentence(master, task_id) == "No worker is connected, so none knows type 't'."
