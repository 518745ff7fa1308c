"""A real worker of a real master: what neither the machine nor an executor shows alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import held_tasks
import pytest
from worker_cluster import WorkerCluster, until

from pullwork import Client, TaskFailedError, TaskState

pytestmark = pytest.mark.service


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[WorkerCluster]:
    cluster = WorkerCluster(tmp_path)
    yield cluster
    cluster.close()
    print(cluster.story())


@pytest.fixture
async def client(cluster: WorkerCluster) -> AsyncIterator[Client]:
    await cluster.master()
    async with Client(cluster.address) as client:
        yield client


async def test_the_next_attempt_goes_on_at_the_last_checkpoint(
    cluster: WorkerCluster, client: Client
) -> None:
    cluster.held_worker()
    told = await client.run(held_tasks.in_two_steps.with_args())
    assert told == "went on after step one in attempt 2"


async def test_progress_is_seen_long_before_the_next_heartbeat(
    cluster: WorkerCluster, client: Client, tmp_path: Path
) -> None:
    cluster.held_worker()
    handle = await client.submit(held_tasks.hold.with_args(str(tmp_path / "gate")))

    async def told() -> bool:
        seen = (await client.get(handle.id)).progress
        return seen is not None and seen.message == "waiting at the gate"

    await until((tmp_path / "gate.began").exists, "the task begins")
    await until(told, "the master knows the progress", 3.0)
    (tmp_path / "gate").touch()
    assert await handle.result() == "let go"


async def test_cancelling_ends_coroutines_and_processes_that_listen(
    cluster: WorkerCluster, client: Client, tmp_path: Path
) -> None:
    worker = cluster.held_worker(SLOTS="1")
    for call in (held_tasks.forever, held_tasks.hold):
        gate = tmp_path / call.type
        handle = await client.submit(call.with_args(str(gate)))
        await until(Path(f"{gate}.began").exists, "the task begins")
        await handle.cancel()
        assert await client.run(held_tasks.add.with_args(1, 2)) == 3, "the slot is free again"
    assert (tmp_path / "held.forever.cancelled").exists()
    assert "a child process ended" not in worker.said(), "nobody had to be killed"


async def test_a_thread_that_never_ends_times_out_and_its_neighbours_go_on(
    cluster: WorkerCluster, client: Client
) -> None:
    cluster.held_worker(SLOTS="2", STOP_GRACE="0.1")
    with pytest.raises(TaskFailedError, match=r"execution timeout of 0\.2 s"):
        await client.run(held_tasks.deaf_thread.with_args())
    assert await client.run(held_tasks.add.with_args(1, 2)) == 3


async def test_a_result_that_the_master_would_not_take_is_the_task_s_failure(
    cluster: WorkerCluster, client: Client
) -> None:
    cluster.held_worker()
    with pytest.raises(TaskFailedError, match="the master takes 1048576 at most"):
        await client.run(held_tasks.big.with_args(2 * 1024 * 1024))
    assert len(await client.run(held_tasks.big.with_args(1024 * 1024))) == 1024 * 1024


async def test_a_second_signal_cuts_off_what_runs_and_its_task_goes_to_another(
    cluster: WorkerCluster, client: Client, tmp_path: Path
) -> None:
    hasty = cluster.held_worker("hasty")
    handle = await client.submit(held_tasks.hold.with_args(str(tmp_path / "gate")))
    await until((tmp_path / "gate.began").exists, "the task begins")
    hasty.terminate()
    await until(lambda: "draining" in hasty.said(), "the worker drains")
    assert hasty.running
    hasty.terminate()
    assert await hasty.ended() == 1
    cluster.held_worker("patient")
    (tmp_path / "gate").touch()
    assert await handle.result() == "let go"


async def test_the_drain_grace_cuts_off_what_does_not_end(
    cluster: WorkerCluster, client: Client, tmp_path: Path
) -> None:
    worker = cluster.held_worker(DRAIN_GRACE="0.2")
    handle = await client.submit(held_tasks.hold.with_args(str(tmp_path / "gate")))
    await until((tmp_path / "gate.began").exists, "the task begins")
    worker.terminate()
    assert await worker.ended() == 0

    async def waits() -> bool:
        return (await client.get(handle.id)).state is TaskState.QUEUED

    await until(waits, "the task waits for another worker", 3.0)


async def test_a_program_is_a_task(cluster: WorkerCluster, client: Client) -> None:
    cluster.held_worker(COMMANDS="shout=tr a-z A-Z", COMMAND_CONTENT_TYPES="shout=text/plain")
    handle = await client.submit_raw("shout", b"hello", content_type="text/plain")
    assert await handle.result() == b"HELLO"


async def test_a_module_that_does_not_import_ends_the_start_with_the_remedy(
    cluster: WorkerCluster,
) -> None:
    cluster.address = "127.0.0.1:1"
    worker = cluster.held_worker(TASKS="no_such_tasks")
    assert await worker.ended() == 2
    assert "there is no module 'no_such_tasks'" in worker.said()


async def test_without_a_master_a_worker_says_so_and_leaves_when_asked(
    cluster: WorkerCluster,
) -> None:
    cluster.address = "127.0.0.1:1"
    worker = cluster.held_worker()
    await until(lambda: "no master yet" in worker.said(), "the worker says what it misses")
    worker.terminate()
    assert await worker.ended() == 0
