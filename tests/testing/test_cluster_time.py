"""What `advance` does: everything of a cluster that waits for time is done when its time comes."""

from __future__ import annotations

import datetime
import time

import cluster_jobs as jobs
import pytest

from pullwork import FailureKind, TaskNotFoundError, TaskState, WaitReason
from pullwork.testing import Cluster, ClusterError

WAIT_S = 20.0


async def test_a_delayed_task_runs_when_its_time_comes_and_not_before() -> None:
    async with Cluster(tasks=[jobs.add]) as cluster:
        handle = await cluster.client.submit(jobs.add.with_args(1, 2), delay=3600)
        await cluster.advance(3500)
        told = await cluster.explain(handle)
        assert told.reason is WaitReason.DELAYED
        await cluster.advance(101)
        assert handle.done() or await handle.result(WAIT_S) == 3


async def test_a_moment_is_said_by_the_clusters_time() -> None:
    async with Cluster(tasks=[jobs.add]) as cluster:
        await cluster.advance(600)
        at = cluster.now() + datetime.timedelta(seconds=60)
        handle = await cluster.client.submit(jobs.add.with_args(1, 2), not_before=at)
        assert (await handle.status()).state is TaskState.SCHEDULED
        await cluster.advance(61)
        assert await handle.result(WAIT_S) == 3


async def test_every_backoff_on_the_way_is_waited_for() -> None:
    async with Cluster(tasks=[jobs.fail_until]) as cluster:
        handle = await cluster.client.submit(jobs.fail_until.with_args(4))
        await cluster.settled()
        assert (await cluster.explain(handle)).reason is WaitReason.BACKING_OFF
        await cluster.advance(3 * 600 + 1)
        assert await handle.result(WAIT_S) == 4


async def test_an_execution_timeout_ends_an_attempt_that_holds_on() -> None:
    async with Cluster(tasks=[jobs.hold]) as cluster:
        handle = await cluster.client.submit(jobs.hold.with_args(), timeout=300)
        await cluster.started(handle)
        await cluster.advance(290)
        assert (await handle.status()).attempt == 1
        await cluster.advance(30)
        failure = (await handle.status()).failure
        assert failure is not None
        assert failure.kind is FailureKind.TIMEOUT


async def test_a_progress_timeout_ends_an_attempt_that_says_nothing() -> None:
    async with Cluster(tasks=[jobs.hold]) as cluster:
        handle = await cluster.client.submit(jobs.hold.with_args(), progress_timeout=60)
        await cluster.started(handle)
        await cluster.advance(75)
        failure = (await handle.status()).failure
        assert failure is not None
        assert "no progress" in failure.message


async def test_ended_tasks_are_deleted_when_their_retention_is_over() -> None:
    async with Cluster(tasks=[jobs.add], master={"retention": "1h"}) as cluster:
        handle = await cluster.client.submit(jobs.add.with_args(1, 2))
        assert await handle.result(WAIT_S) == 3
        await cluster.advance(3500)
        assert (await handle.status()).state is TaskState.SUCCEEDED
        await cluster.advance(200)
        with pytest.raises(TaskNotFoundError):
            await handle.status()


async def test_sleeping_coroutines_sleep_by_the_clusters_time() -> None:
    async with Cluster(tasks=[jobs.wait_for_time]) as cluster:
        began = time.monotonic()
        handle = await cluster.client.submit(jobs.wait_for_time.with_args(500.0))
        await cluster.started(handle)
        await cluster.advance(501)
        assert await handle.result(WAIT_S) >= 500
        assert time.monotonic() - began < 100


async def test_a_healthy_worker_is_never_lost_to_the_passing_of_time() -> None:
    async with Cluster(tasks=[jobs.hold], workers=2) as cluster:
        sessions = {worker.session_id for worker in await cluster.client.workers()}
        handle = await cluster.client.submit(jobs.hold.with_args())
        await cluster.started(handle)
        await cluster.advance(1200)
        assert {worker.session_id for worker in await cluster.client.workers()} == sessions
        assert (await handle.status()).attempt == 1


async def test_a_checkpoint_is_there_for_the_attempt_after_a_death() -> None:
    async with Cluster(tasks=[jobs.resume], workers=2) as cluster:
        handle = await cluster.client.submit(jobs.resume.with_args())
        name = await cluster.started(handle)
        await cluster.advance(6)
        progress = await handle.progress()
        assert progress is not None
        assert progress.message == "half done"
        await cluster.kill_worker(name)
        await cluster.advance(2)
        assert await handle.result(WAIT_S) == "from half"


async def test_quick_heartbeats_come_in_time_however_far_time_is_moved() -> None:
    settings = {"heartbeat": "0.5s", "silence_grace": "1s"}
    async with Cluster(tasks=[jobs.hold], master=settings) as cluster:
        handle = await cluster.client.submit(jobs.hold.with_args())
        await cluster.started(handle)
        await cluster.advance(60)
        assert (await handle.status()).attempt == 1


async def test_settled_says_what_still_goes_on() -> None:
    async with Cluster(tasks=[jobs.hold]) as cluster:
        handle = await cluster.client.submit(jobs.hold.with_args())
        await cluster.started(handle)
        with pytest.raises(TimeoutError, match=r"1 tasks of type 'job\.hold'"):
            await cluster.settled(timeout=0.1)


async def test_started_says_why_a_task_does_not_run() -> None:
    async with Cluster(tasks=[jobs.add]) as cluster:
        handle = await cluster.client.submit_raw("job.unknown", b"")
        with pytest.raises(TimeoutError, match=r"job\.unknown"):
            await cluster.started(handle, timeout=0.1)


async def test_time_is_not_moved_back_nor_without_a_master() -> None:
    async with Cluster(tasks=[jobs.add]) as cluster:
        with pytest.raises(ClusterError, match="back"):
            await cluster.advance(-1)
        await cluster.kill_master()
        with pytest.raises(ClusterError, match="start_master"):
            await cluster.advance(1)
