"""Workers and clients from generated stubs alone, in Go and TypeScript, on a real master."""

from __future__ import annotations

import asyncio
from collections import Counter

from cluster import until
from mixed_cluster import MixedCluster, connected
from polyglot_jobs import count_words, work
from toolchain import GO, NODE, Language, built

from pullwork import Client
from pullwork.task_info import TaskInfo, TaskState


def _language_of(task: TaskInfo) -> str:
    return task.worker.partition("-")[0]


async def _count_ends(client: Client, ends: Counter[str]) -> None:
    async for task in client.watch(owner=client.owner):
        ends[task.id] += 1


async def test_workers_in_three_languages_share_one_queue(cluster: MixedCluster) -> None:
    languages = [built(each) for each in (GO, NODE)]
    await cluster.master()
    async with Client(cluster.address) as client:
        cluster.python()
        for language in languages:
            cluster.foreign(language)
        await connected(client, "python", "go", "node")
        slow = await client.submit_many([work.with_args(0.05, n) for n in range(60)])
        quick = await client.submit_many(
            [count_words.with_args("so it is " * n) for n in range(60)]
        )
        assert [await it.result(60) for it in slow] == ["x" * n for n in range(60)]
        assert [await it.result(60) for it in quick] == [3 * n for n in range(60)]
        ended = [await it.status() for it in (*slow, *quick)]
    share = Counter(map(_language_of, ended))
    assert share.keys() == {"python", "go", "node"}
    assert min(share.values()) >= 10, share
    assert {task.attempt for task in ended} == {1}


async def test_a_worker_survives_restarts_of_its_master_with_what_it_holds(
    cluster: MixedCluster, language: Language
) -> None:
    master = await cluster.master()
    ends: Counter[str] = Counter()
    async with Client(cluster.address) as client:
        worker = cluster.foreign(language, slots=4)
        await connected(client, language.name)
        watching = asyncio.create_task(_count_ends(client, ends))
        # Two that run over both restarts, and many that end around them.
        long = await client.submit_many([work.with_args(6.0, n) for n in (1, 2)])
        short = await client.submit_many([work.with_args(0.05, n) for n in range(80)])
        for killed_after in (15, 45):
            await until(lambda at=killed_after: len(ends) >= at, "work goes on")
            master.kill()
            await cluster.restart(master)
        assert [await it.result(60) for it in short] == ["x" * n for n in range(80)]
        assert [await it.result(60) for it in long] == ["x", "xx"]
        kept = [await it.status() for it in long]
        assert {(it.attempt, _language_of(it)) for it in kept} == {(1, language.name)}
        everything = [task async for task in client.list(owner=client.owner)]
        assert {task.state for task in everything} == {TaskState.SUCCEEDED}
        assert {task.worker_deaths for task in everything} == {0}
        assert len({task.revision for task in everything}) == len(everything) == 82
        await until(lambda: len(ends) == 82, "the watch tells every end")
        assert set(ends.values()) == {1}
        watching.cancel()
    assert worker.running


async def test_the_task_of_a_killed_worker_goes_to_one_in_another_language(
    cluster: MixedCluster, language: Language
) -> None:
    await cluster.master()
    async with Client(cluster.address) as client:
        doomed = cluster.foreign(language)
        (session,) = await connected(client, language.name)
        handle = await client.submit(work.with_args(3.0, 3))

        async def runs() -> bool:
            return (await handle.status()).state is TaskState.RUNNING

        await until(runs, "the task runs")
        doomed.kill()
        cluster.python("heir")
        assert await handle.result(60) == "xxx"
        ended = await handle.status()
    assert (ended.worker, ended.worker_deaths) == ("heir", 1)
    assert ended.attempts[0].worker == session.name


async def test_a_client_submits_waits_and_survives_a_restart_of_the_master(
    cluster: MixedCluster, language: Language
) -> None:
    master = await cluster.master()
    texts = cluster.folder / "texts"
    texts.mkdir()
    for number in range(40):
        (texts / f"{number}.txt").write_text("word " * number)
    files = sorted(str(each) for each in texts.iterdir())
    counting = cluster.program("client", [*language.client, *files])
    async with Client(cluster.address) as client:

        async def submitted() -> bool:
            return len([task async for task in client.list()]) == 40

        await until(submitted, "the client submitted")
        master.kill()
        await cluster.restart(master)
        cluster.python()
        assert await counting.ended() == 0
        assert {task.state async for task in client.list()} == {TaskState.SUCCEEDED}
    lines = [line for line in counting.said().splitlines() if line.startswith(str(texts))]
    assert sorted(lines) == sorted(f"{texts}/{n}.txt: {n}" for n in range(40))
