"""What a client does when its connection breaks while the master lives on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import sample_tasks
from cable import Cable
from task_cluster import TaskCluster, until

from pullwork import Client, TaskCancelledError, TaskNotFoundError, TaskState, UnavailableError

ADD = sample_tasks.add.with_args(1)


@pytest.fixture
async def cable(alone: str) -> AsyncIterator[Cable]:
    """A cable to the master without workers."""
    cable = Cable(alone)
    await cable.mend()
    yield cable
    await cable.cut()


async def test_an_end_during_the_break_is_told_after_it(cable: Cable, quiet: Client) -> None:
    async with Client(cable.address) as client:
        handle = await client.submit(ADD)
        foreign = client.handle((await quiet.submit(ADD)).id)
        waiting = [asyncio.ensure_future(it.result(30)) for it in (handle, foreign)]
        watch = await client.watch(owner=client.owner).open()
        await cable.cut()
        await quiet.cancel(handle.id, foreign.id)
        await cable.mend()
        for result in waiting:
            with pytest.raises(TaskCancelledError):
                await result
        assert (await anext(watch)).id == handle.id


async def test_an_end_that_was_deleted_during_the_break_is_said_to_be_gone(
    cable: Cable, quiet: Client
) -> None:
    async with Client(cable.address) as client:
        handle = await client.submit(ADD, retention=0)
        waiting = asyncio.ensure_future(handle.result(30))
        watch = await client.watch(owner=client.owner).open()
        await cable.cut()
        await quiet.cancel(handle.id)

        async def deleted() -> bool:
            try:
                await quiet.get(handle.id)
            except TaskNotFoundError:
                return True
            return False

        await until(deleted, "the ended task is deleted")
        await cable.mend()
        with pytest.raises(TaskNotFoundError, match="its retention is over"):
            await waiting
        for _ in range(2):
            kept = await client.submit(ADD)
            await kept.cancel()
            assert (await anext(watch)).id == kept.id
        assert watch.lapsed


async def test_what_is_submitted_during_the_break_is_stored_once(
    cable: Cable, quiet: Client, queue: str
) -> None:
    async with Client(cable.address, deadline=20) as client:
        await client.submit(ADD, queue=queue)
        await cable.cut()
        late = [asyncio.ensure_future(client.submit(ADD, queue=queue)) for _ in range(30)]
        await asyncio.sleep(0)
        await cable.mend()
        handles = await asyncio.gather(*late)
        assert not any(handle.duplicate for handle in handles)
        assert (await quiet.queues.get(queue)).waiting == 31


async def test_submissions_cut_in_the_middle_are_neither_lost_nor_doubled(
    cable: Cable, quiet: Client, queue: str
) -> None:
    async with Client(cable.address, deadline=20) as client:

        async def submit(number: int) -> str:
            handle = await client.submit(sample_tasks.add.with_args(number), queue=queue)
            return handle.id

        submitting = asyncio.ensure_future(
            asyncio.gather(*(submit(number) for number in range(4000)))
        )
        for _ in range(3):
            before = await waiting_in(quiet, queue)
            await until(
                lambda before=before: moved(quiet, queue, before, submitting),  # type: ignore[misc]
                "submissions go on",
            )
            await cable.cut()
            await cable.mend()
        ids = await submitting
        listed = [task.id async for task in quiet.list(queue=queue)]
        assert sorted(listed) == sorted(ids)
        assert len(set(ids)) == 4000


async def waiting_in(client: Client, queue: str) -> int:
    return sum(it.waiting for it in await client.queues.list() if it.name == queue)


async def moved(client: Client, queue: str, before: int, done: asyncio.Future[object]) -> bool:
    return done.done() or await waiting_in(client, queue) > before


async def test_every_change_is_told_over_a_break(cable: Cable, quiet: Client, queue: str) -> None:
    async with Client(cable.address) as client:
        watch = await client.watch(queue=queue, every_change=True).open()
        handle = await quiet.submit(ADD, queue=queue)
        assert (await anext(watch)).state is TaskState.QUEUED
        await cable.cut()
        await handle.cancel()
        await cable.mend()
        async for task in watch:
            if task.state.ended:
                break
        assert task.id == handle.id


async def test_what_cannot_be_repeated_is_said_to_be_uncertain(
    new_cluster: TaskCluster,
) -> None:
    master = await new_cluster.master()
    cable = Cable(new_cluster.address)
    await cable.mend()
    async with Client(cable.address) as client:
        handle = await client.submit(ADD)
        master.freeze()
        cancelling = asyncio.ensure_future(handle.cancel())
        await asyncio.wait([cancelling], timeout=0.2)
        await cable.cut()
        with pytest.raises(UnavailableError, match="may have been done"):
            await cancelling
        master.thaw()
