"""Workers: killed, frozen, drained, and new ones that join."""

from __future__ import annotations

import asyncio

import psutil
from cluster import Cluster, Process, until
from jobs import began, hold, note, square

from pullwork import Client
from pullwork.node_info import WorkerInfo, WorkerState
from pullwork.task_info import AttemptEnd, TaskState, WaitReason


async def _session(client: Client, name: str) -> WorkerInfo | None:
    """Returns the session of a connected worker."""
    workers = await client.workers(state=WorkerState.CONNECTED)
    return next((each for each in workers if each.name == name), None)


async def _drains(client: Client, name: str) -> bool:
    session = await _session(client, name)
    return session is not None and session.draining


async def _held_by(
    cluster: Cluster, client: Client, name: str, gate_name: str = "gate"
) -> tuple[Process, object]:
    """Starts a worker and has it run a task that ends when its gate is there."""
    worker = cluster.worker(name, slots=1)
    gate = cluster.folder / gate_name
    handle = await client.submit(hold.with_args(str(gate)))
    await until(began(gate).exists, f"{name} runs the task")
    return worker, handle


async def test_the_task_of_a_killed_worker_goes_to_another_with_the_same_owner(
    cluster: Cluster, client: Client
) -> None:
    doomed, handle = await _held_by(cluster, client, "doomed")
    cluster.worker("heir")
    doomed.kill()
    (cluster.folder / "gate").touch()
    ended = await handle.wait(30)
    assert (ended.state, ended.worker, ended.owner) == (TaskState.SUCCEEDED, "heir", client.owner)
    assert (ended.attempt, ended.worker_deaths, ended.failures) == (2, 1, 0)
    assert [attempt.end for attempt in ended.attempts] == [AttemptEnd.WORKER_LOST]


async def test_a_killed_worker_leaves_no_process_behind(cluster: Cluster, client: Client) -> None:
    doomed, _ = await _held_by(cluster, client, "doomed")
    child = int(began(cluster.folder / "gate").read_text())
    assert child != doomed.pid
    doomed.kill()
    await until(lambda: not psutil.pid_exists(child), "the process that ran the task is gone")


async def test_a_frozen_worker_is_evicted_and_works_on_under_a_new_session(
    cluster: Cluster, impatient: Client
) -> None:
    client = impatient
    frozen, handle = await _held_by(cluster, client, "frozen")
    before = await until(lambda: _session(client, "frozen"), "the worker is known")
    frozen.freeze()
    cluster.worker("heir", slots=1)
    gate = cluster.folder / "gate"
    began(gate).unlink()
    await until(began(gate).exists, "the heir runs the task")
    # The frozen worker's own attempt may end now, too late; the heir's ends the task.
    gate.touch()
    ended = await handle.wait(30)
    assert (ended.worker, ended.attempt) == ("heir", 2)

    frozen.thaw()
    after = await until(lambda: _session(client, "frozen"), "the thawed worker is back")
    assert after.session_id != before.session_id
    still = await client.get(ended.id)
    assert (still.worker, still.revision) == ("heir", ended.revision)
    await client.drain("heir")
    assert await client.run(square.with_args(5)) == 25


async def test_a_drained_worker_finishes_what_runs_and_gives_back_the_rest(
    cluster: Cluster, client: Client
) -> None:
    leaver, running = await _held_by(cluster, client, "leaver")
    waiting = await client.submit_many([square.with_args(number) for number in range(10)])
    leaver.terminate()
    await until(lambda: _drains(client, "leaver"), "the master knows that the worker drains")
    assert (await waiting[0].explain()).reason is WaitReason.WORKERS_LEAVING
    (cluster.folder / "gate").touch()
    assert await running.result(30) == "let go"
    assert await leaver.ended() == 0
    cluster.worker("heir")
    results = await asyncio.gather(*(handle.result(30) for handle in waiting))
    assert results == [number * number for number in range(10)]
    assert (await running.status()).worker == "leaver"
    assert {(await handle.status()).worker for handle in waiting} == {"heir"}
    assert {(await handle.status()).worker_deaths for handle in waiting} == {0}


async def test_a_worker_drained_by_the_master_leaves_by_itself(
    cluster: Cluster, client: Client
) -> None:
    worker = cluster.worker("leaver")
    await until(lambda: _session(client, "leaver"), "the worker is known")
    await client.drain("leaver")
    assert await worker.ended() == 0
    assert await client.workers(state=WorkerState.CONNECTED) == []


async def test_new_workers_take_their_share_of_a_running_job_at_once(
    cluster: Cluster, client: Client
) -> None:
    cluster.worker("first", slots=1)
    notes = cluster.folder / "notes"
    notes.mkdir()
    handles = await client.submit_many([note.with_args(n, str(notes)) for n in range(300)])
    await until(lambda: len(list(notes.iterdir())) >= 5, "the first worker works")
    cluster.worker("second", slots=1)
    cluster.worker("third", slots=1)
    await asyncio.gather(*(handle.result(60) for handle in handles))
    share = [(await handle.status()).worker for handle in handles]
    assert {"first", "second", "third"} == set(share)


async def test_an_evicted_worker_that_lives_registers_anew(
    cluster: Cluster, client: Client
) -> None:
    cluster.worker("alive")
    before = await until(lambda: _session(client, "alive"), "the worker is known")
    await client.evict(before.session_id)
    after = await until(lambda: _session(client, "alive"), "the worker is back")
    assert after.session_id != before.session_id
    assert await client.run(square.with_args(4)) == 16


async def test_two_workers_of_one_name_part_and_both_work(cluster: Cluster, client: Client) -> None:
    twins = [cluster.worker("twin", slots=1), cluster.worker("twin", slots=1)]

    async def both_connected() -> bool:
        return len(await client.workers(state=WorkerState.CONNECTED)) == 2

    await until(both_connected, "both are connected")
    gates = [cluster.folder / f"gate-{number}" for number in range(2)]
    handles = await client.submit_many([hold.with_args(str(gate)) for gate in gates])
    await until(lambda: all(began(gate).exists() for gate in gates), "both work")
    for gate in gates:
        gate.touch()
    assert [await handle.result(30) for handle in handles] == ["let go", "let go"]
    assert {(await handle.status()).attempt for handle in handles} == {1}
    assert all(twin.running for twin in twins)
