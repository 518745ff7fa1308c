"""What a cluster under test does to its nodes: start, kill, stop, freeze, restart."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import cluster_jobs as jobs
import psutil
import pytest

from pullwork import AttemptEnd, SettingsError, TaskState
from pullwork.testing import Cluster, ClusterError

WAIT_S = 20.0


async def test_what_is_submitted_runs_on_real_workers() -> None:
    async with Cluster(tasks=jobs.COROUTINES, workers=2) as cluster:
        assert set(cluster.workers) == {"worker-1", "worker-2"}
        seen = {worker.name for worker in await cluster.client.workers()}
        assert seen == set(cluster.workers)
        handles = await cluster.client.submit_many(jobs.add.with_args(it, 1) for it in range(20))
        assert [await handle.result(WAIT_S) for handle in handles] == list(range(1, 21))


async def test_def_runs_in_a_child_process_unless_threads_are_asked_for() -> None:
    async with Cluster(tasks=[jobs.where], slots=1) as cluster:
        handle = await cluster.client.submit(jobs.where.with_args())
        pid, _ = await handle.result(WAIT_S)
        assert pid != os.getpid()
    async with Cluster(tasks=[jobs.where], slots=1, def_in_threads=True) as cluster:
        handle = await cluster.client.submit(jobs.where.with_args())
        pid, thread = await handle.result(WAIT_S)
        assert (pid, thread) == (os.getpid(), "job.where")


async def test_a_killed_workers_task_runs_elsewhere_as_attempt_2() -> None:
    async with Cluster(tasks=[jobs.hold_first], workers=2) as cluster:
        handle = await cluster.client.submit(jobs.hold_first.with_args())
        dead = await cluster.started(handle)
        await cluster.kill_worker(dead)
        assert dead not in cluster.workers
        assert (await handle.status()).state is TaskState.RUNNING, "its lease stands for the grace"
        await cluster.advance(1.1)
        assert await handle.result(WAIT_S) == 2
        (lost,) = (await handle.status()).attempts
        assert (lost.end, lost.worker) == (AttemptEnd.WORKER_LOST, dead)


async def test_a_killed_workers_child_processes_are_gone() -> None:
    # A fixture of the whole session may have processes in this one already.
    of_others = set(psutil.Process().children())
    async with Cluster(tasks=[jobs.hold_process], slots=1) as cluster:
        handle = await cluster.client.submit(jobs.hold_process.with_args())
        name = await cluster.started(handle)
        assert set(psutil.Process().children()) - of_others
        await cluster.kill_worker(name)
        assert not set(psutil.Process().children()) - of_others


async def test_a_worker_of_the_same_name_takes_the_place_of_a_killed_one_at_once() -> None:
    async with Cluster(tasks=[jobs.hold_first]) as cluster:
        handle = await cluster.client.submit(jobs.hold_first.with_args())
        name = await cluster.started(handle)
        await cluster.kill_worker(name)
        await cluster.start_worker(name)
        assert await handle.result(WAIT_S) == 2
        assert [worker.name for worker in await cluster.client.workers()] == [name]


async def test_a_stopped_worker_finishes_what_it_runs(tmp_path: Path) -> None:
    go_on = tmp_path / "go on"
    async with Cluster(tasks=[jobs.wait_for_file]) as cluster:
        handle = await cluster.client.submit(jobs.wait_for_file.with_args(str(go_on)))
        name = await cluster.started(handle)
        stopping = asyncio.create_task(cluster.stop_worker(name))
        go_on.touch()
        await stopping
        assert await handle.result(WAIT_S) == 1
        assert cluster.workers == ()


async def test_a_frozen_worker_is_evicted_and_its_late_outcome_not_taken(tmp_path: Path) -> None:
    go_on = tmp_path / "go on"
    async with Cluster(tasks=[jobs.wait_for_file, jobs.add]) as cluster:
        handle = await cluster.client.submit(jobs.wait_for_file.with_args(str(go_on)))
        frozen = await cluster.started(handle)
        await cluster.freeze(frozen)
        await cluster.advance(20)
        assert (await handle.status()).attempt == 1, "its lease stands for the silence grace"
        await cluster.advance(10)
        other = await cluster.start_worker()
        assert await cluster.started(handle) == other
        go_on.touch()
        assert await handle.result(WAIT_S) == 2
        await cluster.thaw(frozen)
        await cluster.advance(10)
        ended = await handle.status()
        assert (ended.attempt, ended.worker) == (2, other), "the late outcome changed nothing"
        seen = {worker.name for worker in await cluster.client.workers()}
        assert seen == {frozen, other}, "the thawed worker went on under a new session"


async def test_a_blocked_loop_is_found_although_its_process_lives() -> None:
    async with Cluster(tasks=[jobs.block_first]) as cluster:
        handle = await cluster.client.submit(jobs.block_first.with_args(4.0))
        await cluster.start_worker("other")
        await cluster.advance(40)
        assert await handle.result(WAIT_S) == 2
        assert (await handle.status()).worker == "other"


async def test_a_restart_of_the_master_loses_nothing() -> None:
    async with Cluster(tasks=[jobs.hold, jobs.add]) as cluster:
        address = cluster.address
        runs = await cluster.client.submit(jobs.hold.with_args())
        await cluster.started(runs)
        done = await cluster.client.submit(jobs.add.with_args(1, 2))
        assert await done.result(WAIT_S) == 3
        delayed = await cluster.client.submit(jobs.add.with_args(2, 3), delay=3600)
        await cluster.restart_master()
        assert cluster.address == address
        assert (await done.status()).state is TaskState.SUCCEEDED
        assert (await delayed.status()).state is TaskState.SCHEDULED
        assert (await runs.status()).attempt == 1, "its worker came back with it"
        again = await cluster.client.submit(jobs.add.with_args(3, 4))
        assert await again.result(WAIT_S) == 7


async def test_a_master_in_memory_outlives_its_restart_too() -> None:
    async with Cluster(tasks=[jobs.add], storage="memory") as cluster:
        handle = await cluster.client.submit(jobs.add.with_args(1, 2), delay=60)
        await cluster.restart_master()
        await cluster.advance(61)
        assert await handle.result(WAIT_S) == 3


async def test_a_submission_while_the_master_is_dead_waits_for_it() -> None:
    async with Cluster(tasks=[jobs.add]) as cluster:
        await cluster.kill_master()
        submitting = asyncio.create_task(cluster.client.submit(jobs.add.with_args(1, 2)))
        await cluster.start_master()
        assert await (await submitting).result(WAIT_S) == 3


async def test_a_wrong_name_is_told_with_those_there_are() -> None:
    async with Cluster(tasks=[jobs.add]) as cluster:
        with pytest.raises(ClusterError, match=r"no worker 'w'.*worker-1"):
            await cluster.kill_worker("w")
        with pytest.raises(ClusterError, match="already"):
            await cluster.start_worker("worker-1")


async def test_a_setting_that_is_none_is_told_and_leaves_nothing_behind() -> None:
    before = set(threading.enumerate())
    with pytest.raises(SettingsError, match=r"worker\.slot\b"):
        async with Cluster(tasks=[jobs.add], worker={"slot": 1}):
            raise AssertionError("it must not start")
    with pytest.raises(SettingsError, match=r"master\.heartbeat"):
        async with Cluster(tasks=[jobs.add], master={"heartbeat": "often"}):
            raise AssertionError("it must not start")
    assert _own_threads() <= _names(before)


def _own_threads() -> set[str]:
    return _names(set(threading.enumerate()))


def _names(threads: set[threading.Thread]) -> set[str]:
    return {thread.name for thread in threads if thread.name.startswith("pullwork")}
