"""What comes back of tasks that a real worker runs."""

from __future__ import annotations

import asyncio
import datetime
import gc
import uuid
from collections.abc import Iterator

import pytest
import sample_tasks
from google.protobuf.timestamp_pb2 import Timestamp
from sample_tasks import Point
from task_cluster import TaskCluster, until

from pullwork import (
    AttemptEnd,
    Change,
    Client,
    DeadlineError,
    Ended,
    Failure,
    FailureKind,
    Handle,
    MemberRole,
    Progress,
    TaskCancelledError,
    TaskFailedError,
    TaskState,
    UnavailableError,
    WorkerState,
)


async def test_a_result_comes_back_to_who_submitted(client: Client) -> None:
    handle = await client.submit(sample_tasks.add.with_args(1, b=2), priority=5)
    assert await handle.result(timeout=30) == 3
    assert await handle == 3
    assert handle.done()
    task = await handle.wait()
    assert (task.state, task.attempt, task.failures) == (TaskState.SUCCEEDED, 1, 0)
    assert task.result == (b"3", "application/json")


async def test_every_executor_gives_typed_results(client: Client) -> None:
    assert await client.run(sample_tasks.count_words.with_args("a b a")) == {"a": 2, "b": 1}
    point = Point(1, 2.5, b"\xff\x00")
    moved = await client.run(sample_tasks.move.with_args(point, datetime.timedelta(seconds=4)))
    assert moved == Point(5, 2.5, b"\xff\x00")


async def test_bytes_and_messages_travel_as_they_are(client: Client) -> None:
    assert await client.run(sample_tasks.reverse.with_args(b"\x00\xff")) == b"\xff\x00"
    later = await client.run(sample_tasks.later.with_args(Timestamp(seconds=4)))
    assert later == Timestamp(seconds=5)


async def test_a_failed_task_says_why(client: Client) -> None:
    handle = await client.submit(sample_tasks.fail.with_args("the word"))
    with pytest.raises(TaskFailedError, match=r"failed: APPLICATION: .*the word") as caught:
        await handle
    failure = caught.value.failure
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.APPLICATION
    assert failure.type == "builtins.ValueError"
    assert failure.message == "the word"
    assert "raise ValueError(word)" in failure.details
    assert caught.value.task is not None
    (attempt,) = caught.value.task.attempts
    assert (attempt.number, attempt.end) == (1, AttemptEnd.FAILED)
    assert (await handle.wait()).state is TaskState.FAILED


async def test_a_failed_task_can_be_retried_by_hand(client: Client) -> None:
    handle = await client.submit(sample_tasks.fail_until.with_args(2), retry=None)
    assert (await handle.wait(30)).state is TaskState.FAILED
    await client.retry(handle.id)
    assert await client.handle(handle.id, sample_tasks.fail_until).result(30) == 2


async def test_attempts_follow_the_retry_policy(client: Client) -> None:
    handle = await client.submit(sample_tasks.fail_until.with_args(3))
    assert await handle.result(30) == 3
    task = await handle.status()
    assert (task.attempt, task.failures) == (3, 2)
    assert [attempt.failure is not None for attempt in task.attempts] == [True, True]


async def test_arguments_of_others_are_refused_at_the_worker(client: Client) -> None:
    handle = await client.submit_raw("sample.add", b'{"a": "one"}', retry=None)
    with pytest.raises(TaskFailedError, match="argument 'a': input should be a valid int") as it:
        await handle.result(30)
    assert it.value.failure is not None
    assert it.value.failure.kind is FailureKind.REJECTED


async def test_any_language_can_submit(client: Client) -> None:
    handle = await client.submit_raw("sample.add", b'{"a": 20, "b": 3}', "application/json")
    assert await handle.result(30) == 23


async def test_a_result_of_the_wrong_type_fails_the_task(client: Client) -> None:
    handle = await client.submit(sample_tasks.wrong_result.with_args())
    with pytest.raises(TaskFailedError, match="the result: input should be a valid integer"):
        await handle.result(30)


async def test_a_running_task_shows_progress_and_can_be_cancelled(client: Client) -> None:
    handle = await client.submit(sample_tasks.hold.with_args())

    async def said() -> bool:
        return await handle.progress() == Progress(0.25, "holding")

    await until(said, "progress arrives")
    assert (await handle.status()).worker == "worker"
    await handle.cancel()
    with pytest.raises(TaskCancelledError):
        await handle.result(30)


async def test_a_timeout_ends_the_attempt(client: Client) -> None:
    handle = await client.submit(sample_tasks.hold.with_args(), timeout=0.2)
    with pytest.raises(TaskFailedError) as caught:
        await handle.result(30)
    assert caught.value.failure is not None
    assert caught.value.failure.kind is FailureKind.TIMEOUT


async def test_others_can_wait_for_a_task_by_its_id(staffed: str, client: Client) -> None:
    handles = [await client.submit(sample_tasks.add.with_args(n)) for n in range(20)]
    async with Client(staffed) as other:
        attached = [other.handle(it.id, sample_tasks.add) for it in handles]
        results = await asyncio.gather(*(it.result(30) for it in attached))
        assert results == [n + 1 for n in range(20)]
        assert await other.handle(handles[0].id).result(30) == 1


async def test_a_task_submitted_again_after_its_end_gives_its_result(
    staffed: str, client: Client
) -> None:
    task_id = str(uuid.uuid4())
    call = sample_tasks.add.with_args(1)
    assert await client.run(call, task_id=task_id) == 2
    async with Client(staffed) as other:
        again = await other.submit(call, task_id=task_id)
        assert again.duplicate
        assert await again.result(30) == 2


async def test_thousands_submitted_at_once_all_come_back(client: Client) -> None:
    calls = [sample_tasks.add.with_args(n) for n in range(3000)]
    handles = await asyncio.gather(*(client.submit(call) for call in calls))
    results = await asyncio.gather(*(handle.result(60) for handle in handles))
    assert results == [n + 1 for n in range(3000)]


async def test_map_hands_out_every_end_once(client: Client) -> None:
    taken = handed = most = 0

    def numbers() -> Iterator[int]:
        nonlocal taken, most
        for taken in range(1, 5001):
            most = max(most, taken - handed)
            yield taken

    seen = set()
    async for ended in client.map(sample_tasks.add, numbers(), window=300):
        assert ended.result() == ended.item + 1
        seen.add(ended.item)
        handed += 1
    assert (handed, seen) == (5000, set(range(1, 5001)))
    assert most <= 301


async def test_map_holds_no_more_bytes_than_its_bound_however_wide_its_window(
    client: Client,
) -> None:
    size = 1_000_000
    taken = handed = most = 0

    def parts() -> Iterator[bytes]:
        nonlocal taken, most
        for taken in range(1, 26):
            most = max(most, taken - handed)
            yield bytes(size)

    async for ended in client.map(sample_tasks.reverse, parts()):
        assert len(ended.result()) == size
        handed += 1
    assert handed == 25
    assert most <= 16 * 1024 * 1024 // size + 2


async def test_an_ordered_map_keeps_the_order(client: Client) -> None:
    results = [it.result() async for it in client.map(sample_tasks.add, range(500), ordered=True)]
    assert results == list(range(1, 501))


async def test_map_hands_out_failures_as_ends(client: Client) -> None:
    calls = [sample_tasks.fail.with_args("no"), sample_tasks.fail.with_args("none")]
    ends: list[Ended[object, None]] = [it async for it in client.map_calls(calls)]
    for ended in ends:
        assert ended.task.state is TaskState.FAILED
        with pytest.raises(TaskFailedError):
            ended.result()
    assert len(ends) == 2


async def test_no_end_is_lost_to_the_garbage_collector(client: Client) -> None:
    seen = 0
    async for _ in client.map(sample_tasks.add, range(60), window=20):
        if seen % 10 == 0:
            gc.collect()
        seen += 1
    assert seen == 60


async def test_many_clients_of_one_owner_each_get_their_own(staffed: str) -> None:
    async with Client(staffed, owner="shared") as one, Client(staffed, owner="shared") as two:
        results = await asyncio.gather(
            *(it.run(sample_tasks.add.with_args(n)) for n in range(50) for it in (one, two))
        )
    assert results == [n + 1 for n in range(50) for _ in range(2)]


async def test_the_owners_watch_tells_the_ends_of_all_its_tasks(staffed: str) -> None:
    owner = f"owner-{uuid.uuid4()}"
    async with Client(staffed, owner=owner) as client:
        watch = await client.watch(owner=owner).open()
        handles = await client.submit_many([sample_tasks.add.with_args(n) for n in range(10)])
        seen = [(await anext(watch)).id for _ in handles]
        assert sorted(seen) == sorted(handle.id for handle in handles)


async def test_workers_are_seen_drained_and_evicted(new_cluster: TaskCluster) -> None:
    await new_cluster.master()
    async with Client(new_cluster.address) as client:
        changes = client.watch_registry()
        assert (await anext(changes)).change is Change.SNAPSHOT
        first = new_cluster.task_worker("first")
        joined = await anext(changes)
        assert (joined.change, joined.members[0].name) == (Change.JOINED, "first")
        assert joined.members[0].role is MemberRole.WORKER
        (worker,) = await client.workers(task_type="sample.add")
        assert (worker.name, worker.state, worker.slots) == ("first", WorkerState.CONNECTED, 50)
        assert await client.workers(queue="other") == []
        assert await client.evict("first") == 0
        while (await anext(changes)).change is not Change.LEFT:
            pass
        await until(client.workers, "the evicted worker registers anew")
        assert (await client.drain("first")).draining
        assert await first.ended() == 0
        await changes.aclose()


async def submit_all(client: Client, count: int) -> list[Handle[int]]:
    return await client.submit_many([sample_tasks.add.with_args(n) for n in range(count)])


async def test_results_come_back_over_a_restart_of_the_master(new_cluster: TaskCluster) -> None:
    master = await new_cluster.master()
    async with Client(new_cluster.address) as client:
        handles = await submit_all(client, 50)
        foreign = client.handle(handles[0].id, sample_tasks.add)
        waiting = [asyncio.ensure_future(it.result(60)) for it in [*handles, foreign]]
        watch = await client.watch(owner=client.owner).open()
        await asyncio.sleep(0)
        master.kill()
        # What is submitted while nobody is there waits for the master too.
        late = asyncio.ensure_future(client.run(sample_tasks.add.with_args(100)))
        await new_cluster.restart(master)
        new_cluster.task_worker()
        assert await asyncio.gather(*waiting) == [*(n + 1 for n in range(50)), 1]
        assert await late == 101
        seen = {(await anext(watch)).id for _ in range(51)}
        assert seen >= {handle.id for handle in handles}


async def test_a_map_goes_on_over_a_restart_of_the_master(new_cluster: TaskCluster) -> None:
    master = await new_cluster.master()
    new_cluster.task_worker()
    async with Client(new_cluster.address) as client:
        results = []
        async for ended in client.map(sample_tasks.add, range(3000), window=200):
            results.append(ended.result())
            if len(results) == 500:
                master.kill()
                await new_cluster.restart(master)
        assert sorted(results) == list(range(1, 3001))


async def test_who_waited_hears_if_the_master_lost_its_folder(
    new_cluster: TaskCluster,
) -> None:
    master = await new_cluster.master()
    async with Client(new_cluster.address) as client:
        handle = await client.submit(sample_tasks.add.with_args(1))
        waiting = asyncio.ensure_future(handle.wait(60))
        await asyncio.sleep(0)
        master.kill()
        new_cluster.data.rename(new_cluster.folder / "lost")
        await new_cluster.restart(master)
        with pytest.raises(Exception, match="perhaps it ended and its retention is over"):
            await waiting
        # And the client goes on with the new one.
        new_cluster.task_worker()
        assert await client.run(sample_tasks.add.with_args(1)) == 2


async def test_nobody_hangs_where_no_master_is(free_port: int) -> None:
    async with Client(f"127.0.0.1:{free_port}", deadline=0.5) as client:
        begun = asyncio.get_running_loop().time()
        for asking in (
            client.submit(sample_tasks.add.with_args(1)),
            client.members(),
            client.retry(str(uuid.uuid4())),
            anext(client.watch(owner="me")),
            anext(client.map(sample_tasks.add, [1])),
            anext(client.watch_registry()),
        ):
            with pytest.raises(UnavailableError, match=r"no master answered at .*pullwork master"):
                await asking
        assert asyncio.get_running_loop().time() - begun < 6


async def test_nobody_hangs_on_a_frozen_master(new_cluster: TaskCluster) -> None:
    master = await new_cluster.master()
    async with Client(new_cluster.address, deadline=0.5) as client:
        handle = await client.submit(sample_tasks.add.with_args(1))
        master.freeze()
        for asking in (
            client.submit(sample_tasks.add.with_args(1)),
            handle.status(),
            handle.result(timeout=0.2),
        ):
            with pytest.raises(DeadlineError):
                await asking
        master.thaw()
        new_cluster.task_worker()
        assert await handle.result(30) == 2
