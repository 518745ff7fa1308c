"""Limits of a queue, kept by real workers: what runs at once, and what starts in a second."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path

from cluster import Cluster, until
from jobs import began, hold, square

from pullwork import Client
from pullwork.task_info import TaskInfo, WaitReason

# Moments of attempts are whole milliseconds of a clock that may be corrected meanwhile.
CLOCK_S = 0.05


def at_once(ended: list[TaskInfo]) -> int:
    """Returns how many ran at once at most; what ended at a moment was not there any more."""
    moments: list[tuple[datetime.datetime, int]] = []
    for each in ended:
        assert each.started_at is not None
        assert each.ended_at is not None
        moments += [(each.started_at, 1), (each.ended_at, -1)]
    most = running = 0
    for _, change in sorted(moments):
        running += change
        most = max(most, running)
    return most


async def test_no_more_run_at_once_than_a_queue_allows_also_when_its_master_restarts(
    cluster: Cluster,
) -> None:
    master = await cluster.master()
    gates = [cluster.folder / f"gate{number}" for number in range(6)]

    def begun() -> list[Path]:
        return [gate for gate in gates if began(gate).exists()]

    async with Client(cluster.address) as client:
        await client.queues.set_limits("default", concurrency=2)
        handles = await client.submit_many([hold.with_args(str(gate)) for gate in gates])
        for name in ("one", "two"):
            cluster.worker(name, slots=4)
        await until(lambda: len(begun()) == 2, "two run")
        waiting = handles[[gate in begun() for gate in gates].index(False)]
        explained = await waiting.explain()
        assert explained.reason is WaitReason.QUEUE_CONCURRENCY
        assert "at most 2 tasks at once, and 2 run" in explained.sentence

        master.kill()
        await cluster.restart(master)
        found = await client.queues.get("default")
        assert (found.limits.concurrency, found.running) == (2, 2)
        begun()[0].touch()
        await until(lambda: len(begun()) == 3, "a third runs in the place of one that ended")
        assert (await client.queues.get("default")).running <= 2
        for gate in gates:
            gate.touch()
        assert await asyncio.gather(*(each.result(60) for each in handles)) == ["let go"] * 6
        assert at_once([await each.status() for each in handles]) == 2


async def test_no_more_start_than_a_rate_allows_and_all_go_when_it_is_lifted(
    cluster: Cluster, client: Client
) -> None:
    await client.queues.set_limits("default", rate=4, burst=1)
    cluster.worker("one", slots=8)
    handles = [await client.submit(square.with_args(number)) for number in range(5)]
    results = await asyncio.gather(*(each.result(60) for each in handles))
    assert results == [number * number for number in range(5)]
    starts = sorted([(await each.status()).started_at for each in handles], key=str)
    for at, start in enumerate(starts[1:], 1):
        assert start is not None
        assert starts[0] is not None
        assert (start - starts[0]).total_seconds() >= at / 4 - CLOCK_S

    await client.queues.set_limits("default", rate=1 / 3600)
    slow = await client.submit_many([square.with_args(number) for number in range(5)])
    explained = await slow[-1].explain()
    assert explained.reason is WaitReason.QUEUE_RATE
    assert "the next may start in" in explained.sentence
    assert (await client.queues.get("default")).use.tokens == 0
    await client.queues.set_limits("default", rate=0)
    assert await asyncio.gather(*(each.result(60) for each in slow)) == results
