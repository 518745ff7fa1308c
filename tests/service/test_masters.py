"""Masters: killed in the middle of work, started late, started twice."""

from __future__ import annotations

import asyncio
from collections import Counter

from cluster import Cluster, until
from jobs import began, hold, note, square

from pullwork import Client
from pullwork.task_info import TaskState


async def test_a_worker_may_be_started_before_its_master(cluster: Cluster, free_port: int) -> None:
    cluster.address = f"127.0.0.1:{free_port}"
    worker = cluster.worker("early")
    await until(lambda: "master" in worker.said(), "the worker says that no master answers")
    await cluster.master(listen=cluster.address)
    async with Client(cluster.address) as client:
        assert await client.run(square.with_args(7)) == 49
    assert worker.running


async def test_a_killed_master_loses_nothing_acknowledged_and_accepts_no_result_twice(
    cluster: Cluster,
) -> None:
    master = await cluster.master()
    workers = [cluster.worker(f"worker-{number}") for number in range(2)]
    notes = cluster.folder / "notes"
    notes.mkdir()
    ends: Counter[str] = Counter()
    async with Client(cluster.address) as client:
        watching = asyncio.create_task(_count_ends(client, ends))
        calls = [note.with_args(number, str(notes)) for number in range(200)]
        handles = await client.submit_many(calls)
        for killed_after in (40, 120):
            await until(lambda at=killed_after: len(list(notes.iterdir())) >= at, "work goes on")
            master.kill()
            await cluster.restart(master)
        results = await asyncio.gather(*(handle.result(60) for handle in handles))
        assert results == [number * number for number in range(200)]

        kept = [task async for task in client.list(owner=client.owner)]
        assert {task.id for task in kept} == {handle.id for handle in handles}
        assert {task.state for task in kept} == {TaskState.SUCCEEDED}
        revisions = [task.revision for task in kept]
        assert len(set(revisions)) == len(revisions)
        await until(lambda: len(ends) == 200, "the watch tells every end")
        assert set(ends.values()) == {1}
        watching.cancel()
    assert all(worker.running for worker in workers)


async def _count_ends(client: Client, ends: Counter[str]) -> None:
    """Counts how often one watch, which lives through the restarts, tells of each end."""
    async for task in client.watch(owner=client.owner):
        ends[task.id] += 1


async def test_what_was_acknowledged_before_a_kill_is_there_after_it(cluster: Cluster) -> None:
    master = await cluster.master()
    acknowledged: list[str] = []
    async with Client(cluster.address) as client:

        async def submit() -> None:
            for number in range(100):
                handle = await client.submit(square.with_args(number))
                acknowledged.append(handle.id)

        submitting = [asyncio.create_task(submit()) for _ in range(10)]
        await until(lambda: len(acknowledged) >= 100, "submissions go on")
        master.kill()
        before = set(acknowledged)
        await cluster.restart(master)
        await asyncio.gather(*submitting)
        kept = [task.id async for task in client.list(owner=client.owner)]
    assert before <= set(kept)
    assert len(before) < len(acknowledged) == 1000
    # Those under way at the kill were repeated under their ids, so none is there twice.
    assert sorted(kept) == sorted(acknowledged)


async def test_work_that_runs_while_its_master_is_killed_is_kept_by_its_worker(
    cluster: Cluster,
) -> None:
    master = await cluster.master()
    cluster.worker("steady")
    gate = cluster.folder / "gate"
    async with Client(cluster.address) as client:
        handle = await client.submit(hold.with_args(str(gate)))
        await until(began(gate).exists, "the task runs")
        master.kill()
        await cluster.restart(master)
        gate.touch()
        ended = await handle.wait(60)
    assert (ended.state, ended.attempt) == (TaskState.SUCCEEDED, 1)


async def test_a_second_master_on_a_data_folder_is_refused(cluster: Cluster) -> None:
    first = await cluster.master()
    second = cluster.started_master(name="second", listen="127.0.0.1:0")
    assert await second.ended() != 0
    assert str(cluster.data) in second.said()
    assert "another master" in second.said()
    assert "Traceback" not in second.said()
    assert first.running


async def test_a_second_master_on_a_port_is_refused(cluster: Cluster) -> None:
    first = await cluster.master()
    data = cluster.folder / "other"
    second = cluster.started_master(name="second", listen=cluster.address, data=data)
    assert await second.ended() != 0
    assert f"can't listen on {cluster.address}: the port is in use" in second.said()
    assert "--listen" in second.said()
    assert "Traceback" not in second.said()
    async with Client(cluster.address) as client:
        assert await client.members()
    assert first.running


async def test_a_ready_file_that_can_not_be_written_stops_a_master_before_it_serves(
    cluster: Cluster,
) -> None:
    (cluster.folder / "blind.ready").mkdir()
    blind = cluster.started_master(name="blind", listen="127.0.0.1:0")
    assert await blind.ended() == 2
    assert "master.ready_file can't be" in blind.said()
    assert "--ready-file" in blind.said()
    assert "master serves" not in blind.said()


async def test_a_master_asked_to_stop_ends_well_and_keeps_its_tasks(cluster: Cluster) -> None:
    master = await cluster.master()
    async with Client(cluster.address) as client:
        handle = await client.submit(square.with_args(3))
        master.terminate()
        assert await master.ended() == 0
        await cluster.restart(master)
        cluster.worker("late")
        assert await handle.result(60) == 9
