"""`explain` gives the true reason, in one sentence, for every way in which a task can wait."""

from __future__ import annotations

from cluster import Cluster, until
from jobs import began, fail, hold, leave, square

from pullwork import Client, Retry
from pullwork.task_info import Explanation, TaskState, WaitReason


async def _reason(client: Client, task_id: str) -> tuple[WaitReason, str]:
    explanation: Explanation = await client.explain(task_id)
    sentence = explanation.sentence
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return explanation.reason, sentence


async def test_no_worker_knows_the_type(cluster: Cluster, client: Client) -> None:
    handle = await client.submit_raw("nobody.knows", b"{}", "application/json")
    reason, sentence = await _reason(client, handle.id)
    assert reason is WaitReason.NO_WORKER
    assert "No worker is connected" in sentence
    cluster.worker("other")
    await until(client.workers, "a worker is connected")
    reason, sentence = await _reason(client, handle.id)
    assert reason is WaitReason.NO_WORKER
    assert "nobody.knows" in sentence


async def test_all_workers_are_busy(cluster: Cluster, client: Client) -> None:
    cluster.worker("busy", slots=1)
    gate = cluster.folder / "gate"
    await client.submit(hold.with_args(str(gate)))
    await until(began(gate).exists, "the worker is busy")
    handle = await client.submit(hold.with_args(str(gate)))
    reason, sentence = await _reason(client, handle.id)
    assert reason is WaitReason.ALL_BUSY
    assert "busy" in sentence
    gate.touch()
    assert await handle.result(30) == "let go"


async def test_the_queue_is_paused(cluster: Cluster, client: Client) -> None:
    cluster.worker("idle")
    await client.queues.pause("default")
    handle = await client.submit(square.with_args(3))
    reason, sentence = await _reason(client, handle.id)
    assert reason is WaitReason.QUEUE_PAUSED
    assert "'default'" in sentence
    await client.queues.resume("default")
    assert await handle.result(30) == 9


async def test_it_is_delayed(client: Client) -> None:
    handle = await client.submit(square.with_args(3), delay=60)
    reason, sentence = await _reason(client, handle.id)
    assert reason is WaitReason.DELAYED
    assert "delayed" in sentence


async def test_it_backs_off(cluster: Cluster, client: Client) -> None:
    cluster.worker("host")
    handle = await client.submit(
        fail.with_args("no luck\nand no more"), retry=Retry(max_attempts=3, initial_backoff=60)
    )

    async def backs_off() -> bool:
        return (await handle.status()).state is TaskState.SCHEDULED

    await until(backs_off, "the first attempt failed")
    reason, sentence = await _reason(client, handle.id)
    assert reason is WaitReason.BACKING_OFF
    assert "no luck" in sentence
    assert "1 of 3" in sentence


async def test_it_is_quarantined(cluster: Cluster, client: Client) -> None:
    cluster.worker("host")
    handle = await client.submit(leave.with_args(), max_worker_deaths=2)
    await handle.wait(30)
    reason, sentence = await _reason(client, handle.id)
    assert reason is WaitReason.QUARANTINED
    assert "2" in sentence
