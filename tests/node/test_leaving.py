"""How a node's worker leaves, and what it leaves running."""

from __future__ import annotations

import os
import signal

from cluster import until
from node_workers import WAITS, Workers, python
from stub_master import StubMaster, Task


async def running(master: StubMaster) -> Task:
    task = master.submit(python(WAITS))
    await until(lambda: master.state(task) == "HEALTHY", "the instance is healthy")
    return task


async def test_sigterm_leaves_the_programs_running_and_says_so(
    master: StubMaster, workers: Workers
) -> None:
    worker = workers.start()
    task = await running(master)
    (before,) = workers.programs()
    worker.terminate()
    assert await worker.ended() == 0
    assert master.deregistered == ["SIGTERM"]
    assert before.is_running()
    assert "leaving instances running" in worker.said()
    workers.start()
    await until(lambda: task.attempt == 2, "the task is leased again")
    await until(lambda: "adopting an instance" in worker.said(), "it is adopted")
    assert workers.programs() == [before]
    assert task.failure is None


async def test_ctrl_c_stops_the_programs_and_reports_their_end(
    master: StubMaster, workers: Workers
) -> None:
    worker = workers.start()
    task = await running(master)
    os.kill(worker.pid, signal.SIGINT)
    assert await worker.ended() == 0
    assert task.failure is not None
    assert task.failure.message == "its worker was stopped: exited with 143 (SIGTERM)"
    assert task.details["code"] == 143
    assert not workers.programs()
    assert not workers.instance_folders()
    assert not master.seen.lines


async def test_ctrl_c_twice_leaves_what_does_not_end(master: StubMaster, workers: Workers) -> None:
    worker = workers.start()
    code = "import signal, time; signal.signal(15, lambda *_: print('no', flush=True))\n" + WAITS
    task = master.submit(python(code + "\ntime.sleep(600)"))
    await until(lambda: master.state(task) == "HEALTHY", "the instance is healthy")
    (folder,) = workers.instance_folders()
    await until(lambda: "up" in (folder / "log.0").read_text(), "it does not listen any more")
    os.kill(worker.pid, signal.SIGINT)
    await until(lambda: master.state(task) == "STOPPING", "it is being stopped")
    os.kill(worker.pid, signal.SIGINT)
    assert await worker.ended() == 0
    assert task.failure is None


async def test_a_drained_node_leaves_once_its_instances_are_gone(
    master: StubMaster, workers: Workers
) -> None:
    worker = workers.start()
    task = await running(master)
    master.drain()
    await until(lambda: "draining" in worker.said(), "it drains")
    assert worker.running
    assert len(workers.programs()) == 1
    master.cancel(task)
    assert await worker.ended() == 0
    assert not workers.programs()
    assert not master.seen.lines


async def test_a_drained_node_leaves_its_instances_running_when_the_grace_is_over(
    master: StubMaster, workers: Workers
) -> None:
    worker = workers.start("n1", "--drain-grace", "300ms")
    await running(master)
    master.drain()
    assert await worker.ended() == 0
    assert len(workers.programs()) == 1
    assert "leaving instances running" in worker.said()


async def test_a_second_worker_of_the_same_node_is_refused(
    master: StubMaster, workers: Workers
) -> None:
    worker = workers.start()
    await until(lambda: master.registered, "the first is there")
    second = workers.start()
    assert await second.ended() == 2
    assert "another worker on this machine is the node 'n1' already" in second.said()
    assert worker.running
