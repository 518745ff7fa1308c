"""A queue is forgotten once nothing is left of it, and not a moment before."""

from __future__ import annotations

from dataclasses import replace

import pytest
from running_engine import SlowStorage, running
from world import POLICY, World, refused, spec, success

from pullwork_master.core import commands as c
from pullwork_master.core.rejections import Reason


def dropped(world: World, queue: str = "mail") -> object:
    return world.ask(c.DropQueue(queue))


def stored(world: World) -> set[str]:
    return {queue.name for queue in world.storage.reload().queues}


def test_what_nobody_uses_is_forgotten_in_memory_and_on_disk(world: World) -> None:
    world.submit(spec(1, queue="mail", retention_ms=1_000))
    world.cancel(spec(1).id)
    assert dropped(world) is False, "an ended task is in it"
    world.pass_time(3_000)
    assert dropped(world) is True
    assert (stored(world), set(world.core.book.queues)) == ({"default"}, {"default"})
    assert dropped(world) is True, "it is gone already"
    assert set(world.core.book.gates) == {"default"}
    world.restart()
    assert set(world.core.book.queues) == {"default"}


def test_it_comes_again_with_its_next_task(world: World) -> None:
    test_what_nobody_uses_is_forgotten_in_memory_and_on_disk(world)
    world.submit(spec(2, queue="mail"))
    worker = world.join()
    world.request(worker, 1)
    world.report(worker, success(worker.token))
    assert "mail" in stored(world)


@pytest.mark.parametrize("delay_ms", [0, 60_000])
def test_one_whose_tasks_wait_on_disk_alone_stays(world: World, delay_ms: int) -> None:
    world.submit(*(spec(number, queue="mail") for number in range(9)), delay_ms=delay_ms)
    assert dropped(world) is False
    world.restart()
    assert dropped(world) is False


def test_one_that_a_worker_serves_stays(world: World) -> None:
    world.ask(c.SetLimits("mail", {"concurrency": 1}))
    world.ask(c.SetLimits("mail", {}, clear=True))
    worker = world.join()
    assert dropped(world) is False
    world.ask(c.Deregister(worker.session))
    assert dropped(world) is True


def test_one_that_an_operator_has_set_up_stays(world: World) -> None:
    world.ask(c.SetLimits("mail", {"concurrency": 1}))
    assert dropped(world) is False
    world.ask(c.SetLimits("mail", {}, clear=True))
    world.ask(c.SetPaused("mail", True))
    assert dropped(world) is False
    world.ask(c.SetPaused("mail", False))
    assert dropped(world) is True


def test_a_task_of_the_same_step_keeps_it_or_brings_it_back(world: World) -> None:
    new = c.Submit((c.NewTask(spec(1, queue="mail")),))
    world.ask(c.SetLimits("mail", {}))
    world.step([(900, c.DropQueue("mail")), (901, new)])
    assert (world.answers.pop(900), "mail" in stored(world)) == (True, True)
    other = c.Submit((c.NewTask(spec(2, queue="more")),))
    world.ask(c.SetLimits("more", {}))
    world.step([(900, other), (901, c.DropQueue("more"))])
    assert (world.answers.pop(901), "more" in stored(world)) == (False, True)


def test_it_makes_room_for_others() -> None:
    world = World(replace(POLICY, queues_max=2))
    world.ask(c.SetLimits("mail", {}))
    refused(world.ask(c.SetLimits("more", {})), Reason.TOO_MANY_REQUESTS)
    assert dropped(world) is True
    world.ask(c.SetLimits("more", {}))
    assert stored(world) == {"default", "more"}


async def test_it_is_not_tried_without_room_on_the_disk() -> None:
    storage = SlowStorage()
    async with running(storage) as engine:
        await engine.ask(c.SetLimits("mail", {}))
        storage.room_bytes = 0
        with pytest.raises(Exception, match="full"):
            await engine.ask(c.DropQueue("mail"))
