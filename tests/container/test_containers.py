"""A cluster of containers under load, hurt as machines hurt it: nothing is lost, nothing twice."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest
from built_images import NEXT_VERSION
from cluster import until
from container_cluster import ContainerCluster
from container_trial import Trial, elsewhere
from fault_harness.work import gate

from pullwork.ids import new_task_id


async def test_a_second_group_joins_while_the_first_works_and_takes_its_share(
    trial: Trial,
) -> None:
    for name in ("second-1", "second-2"):
        trial.start_worker(name)
    took_s = await trial.until_connected("second-1", "second-2")
    assert took_s < 15, "joining takes no longer than starting"
    ended = trial.load.ended
    await trial.load.until_ended(ended + 300)
    await trial.judge()
    for name in trial.workers:
        assert await trial.done_by(name) > 0, f"{name} did nothing"


async def test_the_tasks_of_a_killed_worker_go_to_others(trial: Trial) -> None:
    await elsewhere(trial.workers["first-1"].kill)
    assert await trial.until_gone("first-1") < 10
    await trial.flows()
    account = await trial.judge()
    assert account.over_one < 200, "what it held ran twice at most, no more"


async def test_a_killed_master_comes_back_from_its_volume_with_all_it_acknowledged(
    trial: Trial,
) -> None:
    for _ in range(2):
        await elsewhere(trial.master.kill)
        await elsewhere(trial.master.start)
        await trial.flows()
    await trial.judge()
    assert all(node.running for node in trial.workers.values()), "the workers stayed"


async def test_the_tasks_of_a_frozen_worker_go_to_others_and_thawed_it_works_on(
    trial: Trial,
) -> None:
    await elsewhere(trial.workers["first-1"].pause)
    # Three silent heartbeats and the grace are 3 s.
    assert await trial.until_gone("first-1") < 10
    await trial.flows()
    await elsewhere(trial.workers["first-1"].unpause)
    await trial.until_connected("first-1")
    done = await trial.done_by("first-1")
    await trial.load.until_ended(trial.load.ended + 200)
    await trial.judge()
    assert await trial.done_by("first-1") > done


async def test_a_worker_off_the_network_loses_its_tasks_and_back_on_it_works_on(
    trial: Trial,
) -> None:
    worker = trial.workers["first-2"]
    await elsewhere(partial(trial.cluster.disconnect, worker))
    assert await trial.until_gone("first-2") < 10
    await trial.flows()
    await elsewhere(partial(trial.cluster.reconnect, worker))
    await trial.until_connected("first-2")
    done = await trial.done_by("first-2")
    await trial.load.until_ended(trial.load.ended + 200)
    await trial.judge()
    assert await trial.done_by("first-2") > done
    assert worker.running


async def test_docker_stop_lets_a_worker_finish_what_it_runs(trial: Trial) -> None:
    await elsewhere(trial.workers.pop("first-2").kill)
    await trial.until_gone("first-2")
    # What runs when it is asked to stop, and ends a while later.
    path = trial.cluster.folder / "gate"
    task_id = new_task_id()
    handle = await trial.client.submit(
        gate.with_args("/executions/gate"), task_id=task_id, priority=100
    )
    await until(path.with_name("gate.began").exists, "the task begins")
    trial.start_worker("second-1")

    async def drains() -> bool:
        return any(worker.draining for worker in await trial.client.workers())

    stopping = asyncio.create_task(elsewhere(trial.workers["first-1"].stop))
    await until(drains, "the worker drains")
    path.touch()
    assert await stopping == 0
    ended = await handle.wait(30)
    assert (ended.state, ended.attempt) == ("SUCCEEDED", 1), "it was not cut off"
    await trial.flows()


async def test_a_rolling_upgrade_under_load_loses_nothing(trial: Trial) -> None:
    cluster, images = trial.cluster, trial.cluster.images
    assert await elsewhere(trial.master.stop) == 0
    trial.master.remove()
    cluster.master(images.next_master, "next-master")
    away_s = await trial.flows()
    for old in ("first-1", "first-2"):
        new = old.replace("first", "next")
        trial.start_worker(new, images.next_tasks)
        await trial.until_connected(new)
        assert await elsewhere(trial.workers.pop(old).stop) == 0
        await trial.until_gone(old)
    await trial.flows()
    await trial.judge()
    members = await trial.client.members()
    assert {member.version for member in members} == {NEXT_VERSION}
    assert away_s < 20, "the tasks wait no longer than the new master takes to start"


@pytest.mark.parametrize("state", ["paused", "disconnected"])
async def test_a_master_out_of_reach_is_found_again(trial: Trial, state: str) -> None:
    if state == "paused":
        hurt, heal = trial.master.pause, trial.master.unpause
    else:
        hurt = partial(trial.cluster.disconnect, trial.master)
        heal = partial(trial.cluster.reconnect, trial.master, alias="master")
    await elsewhere(hurt)
    gone_at = time.monotonic()
    await until(lambda: time.monotonic() > gone_at + 3, "it is away for a while")
    await elsewhere(heal)
    await trial.flows()
    await trial.judge()


async def test_workers_may_be_started_before_their_master(cluster: ContainerCluster) -> None:
    worker = cluster.worker("early")
    await until(lambda: "no master yet" in worker.said(), "it says that it waits")
    cluster.master()
    await until(lambda: '"message": "registered"' in worker.said(), "it registers")
    assert worker.running
