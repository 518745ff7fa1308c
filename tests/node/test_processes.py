"""A node with real processes: what it starts, keeps, adopts, reports and removes."""

from __future__ import annotations

import json
import signal
import socket
import sys

import psutil
from cluster import until
from node_workers import WAITS, Workers, instance, kill, python, shim_of
from stub_master import StubMaster, Task

from pullwork.v1 import service_pb2 as pb


async def healthy(master: StubMaster, task: Task) -> None:
    await until(lambda: master.state(task) == "HEALTHY", "the instance is healthy")


def program(workers: Workers) -> psutil.Process:
    (found,) = workers.programs()
    return found


async def test_a_node_registers_under_its_name_and_runs_what_its_queue_brings(
    master: StubMaster, workers: Workers
) -> None:
    workers.start("n1", "--label", "disk=ssd", "--instances-max", "7")
    task = master.submit(python(WAITS))
    await healthy(master, task)
    (said,) = master.registered
    assert said.worker_name == "pullwork.node/n1"
    assert list(said.queues) == ["pullwork.node/n1"]
    assert list(said.task_types) == ["pullwork.process"]
    assert (said.slots, said.look_ahead_max, dict(said.labels)) == (7, 0, {"disk": "ssd"})
    assert master.seen.runners == ["process"]
    assert master.seen.cpus >= 1
    assert master.seen.memory_bytes > 1 << 20
    assert master.seen.lines[task.id].instance_id == "web-1"
    assert master.seen.lines[task.id].started_at.seconds > 0


async def test_a_program_gets_its_ports_and_environment_and_nothing_else_of_the_worker(
    master: StubMaster, workers: Workers
) -> None:
    workers.start()
    code = "import json, os, time; print(json.dumps(dict(os.environ)), flush=True); time.sleep(600)"
    ports = [pb.Port(name="web"), pb.Port(name="admin-api")]
    task = master.submit(python(code, ports=ports, env={"COLOUR": "red"}))
    await healthy(master, task)
    log_id = master.ask_log(task)
    await until(lambda: log_id in master.log_ended, "the log ended")
    env = json.loads(master.lines(log_id)[0])
    told = {it.name: it.port for it in master.seen.lines[task.id].addresses}
    assert env["PORT"] == env["PORT_WEB"] == str(told["web"])
    assert env["PORT_ADMIN_API"] == str(told["admin-api"]) != env["PORT"]
    assert (env["PULLWORK_INSTANCE"], env["PULLWORK_SERVICE"]) == ("web-1", "web")
    assert env["COLOUR"] == "red"
    assert "PATH" in env
    assert "SECRET_OF_THE_WORKER" not in env


async def test_an_exit_is_reported_with_its_code_and_log_and_its_remains_are_removed(
    master: StubMaster, workers: Workers
) -> None:
    workers.start()
    code = "import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)"
    task = master.submit(python(code))
    await until(lambda: task.failure, "the exit is reported")
    assert task.failure is not None
    assert task.failure.type == "pullwork.InstanceExited"
    assert task.failure.message == "exited with 3"
    assert not task.failure.retryable
    assert task.details["code"] == 3
    assert sorted(task.details["log"].splitlines()) == ["one", "two"]
    assert 0 < task.details["started_at_ms"] <= task.details["ended_at_ms"]
    await until(lambda: not workers.instance_folders(), "the remains are gone")
    await until(lambda: not master.seen.lines, "nothing is left to report")


async def test_a_killed_program_is_reported_with_its_signal(
    master: StubMaster, workers: Workers
) -> None:
    workers.start()
    task = master.submit(python(WAITS))
    await healthy(master, task)
    program(workers).kill()
    await until(lambda: task.failure, "the exit is reported")
    assert task.failure is not None
    assert task.failure.message == "exited with 137 (SIGKILL)"
    assert task.details["code"] == 137


async def test_what_can_not_be_started_says_why(master: StubMaster, workers: Workers) -> None:
    workers.start()
    absent = master.submit(instance("/no/such/program"))
    await until(lambda: absent.failure, "the failure is reported")
    assert absent.failure is not None
    assert absent.failure.type == "pullwork.InstanceStartFailed"
    assert "'/no/such/program' can't be started: No such file" in absent.failure.message
    assert absent.details["code"] is None
    senseless = master.submit(pb.InstanceSpec(instance_id="web-1"))
    await until(lambda: senseless.failure, "the failure is reported")
    assert senseless.failure is not None
    assert senseless.failure.type == "pullwork.InstanceInvalid"
    wrong = master.submit(instance("sleep", "600", image="nginx:1"))
    await until(lambda: wrong.failure, "the failure is reported")
    assert wrong.failure is not None
    assert wrong.failure.message == (
        "the type is pullwork.process, but what is to be run is a container"
    )
    assert not workers.instance_folders()


async def test_a_worker_that_is_killed_finds_the_same_process_again(
    master: StubMaster, workers: Workers
) -> None:
    worker = workers.start()
    task = master.submit(python(WAITS, ports=[pb.Port()]))
    await healthy(master, task)
    before = program(workers)
    address = master.seen.lines[task.id].addresses[0]
    worker.kill()
    master.lose_leases()
    master.reports.clear()
    workers.start()
    await healthy(master, task)
    await until(lambda: task.attempt == 2 and task.token, "the task is leased again")
    assert program(workers) == before
    assert master.seen.lines[task.id].addresses[0] == address
    assert task.failure is None


async def test_an_exit_while_the_worker_was_away_is_reported_as_what_it_was(
    master: StubMaster, workers: Workers
) -> None:
    worker = workers.start()
    task = master.submit(python(WAITS))
    await healthy(master, task)
    worker.kill()
    it = program(workers)
    it.send_signal(signal.SIGTERM)
    await until(lambda: not workers.programs(), "the program ended")
    master.lose_leases()
    workers.start()
    await until(lambda: task.failure, "the exit is reported")
    assert task.failure is not None
    assert task.failure.message == "exited with 143 (SIGTERM)"
    assert task.attempt == 2
    assert task.details["log"] == "up"


async def test_an_unwanted_instance_ends_gracefully_and_leaves_nothing(
    master: StubMaster, workers: Workers
) -> None:
    workers.start()
    code = (
        "import signal, sys, time\n"
        "signal.signal(15, lambda *_: (time.sleep(0.5), print('bye', end=''), sys.exit()))\n"
        "print('up', flush=True)\ntime.sleep(600)"
    )
    task = master.submit(python(code))
    await healthy(master, task)
    log_id = master.ask_log(task, follow=True)
    await until(lambda: "up" in master.lines(log_id), "it runs")
    master.cancel(task, tell=False)
    await until(lambda: not workers.instance_folders(), "nothing is left")
    await until(lambda: log_id in master.log_ended, "the log ended")
    assert master.lines(log_id)[-1] == "bye"
    states = [it.lines[task.id].state for it in master.reports if task.id in it.lines]
    assert pb.INSTANCE_STATE_STOPPING in states


async def test_a_program_that_does_not_end_is_killed_with_its_whole_group(
    master: StubMaster, workers: Workers
) -> None:
    workers.start()
    child = "import signal, time; signal.signal(15, 1); print('deaf', flush=True); time.sleep(600)"
    code = (
        "import signal, subprocess, time; signal.signal(15, 1)\n"
        f"subprocess.Popen([{sys.executable!r}, '-c', {child!r}])\n"
        "time.sleep(600)"
    )
    spec = python(code)
    spec.spec.stop_grace.FromMilliseconds(200)
    task = master.submit(spec)
    await healthy(master, task)
    log_id = master.ask_log(task, follow=True)
    await until(lambda: "deaf" in master.lines(log_id), "both run")
    assert len(workers.programs()) == 2
    master.cancel(task)
    await until(lambda: not workers.programs(), "both are gone")


async def test_nothing_is_removed_while_the_master_is_silent(
    master: StubMaster, workers: Workers
) -> None:
    master.lease_s = 0.5
    worker = workers.start()
    task = master.submit(python(WAITS))
    await healthy(master, task)
    before = program(workers)
    master.silent = True
    await until(lambda: "master has not answered for" in worker.said(), "the lease is over")
    assert program(workers) == before
    master.silent = False
    master.lose_leases()
    await until(lambda: task.attempt == 2, "the task is leased again")
    await healthy(master, task)
    assert program(workers) == before
    assert task.failure is None


async def test_a_lost_lease_leaves_the_program_running(
    master: StubMaster, workers: Workers
) -> None:
    workers.start()
    task = master.submit(python(WAITS))
    await healthy(master, task)
    before = program(workers)
    for attempt in (2, 3):
        master.lose_leases()
        await until(lambda: task.attempt == attempt, "the task is leased again")  # noqa: B023
    await healthy(master, task)
    assert program(workers) == before
    assert task.failure is None


async def test_an_end_that_the_master_did_not_take_is_told_again(
    master: StubMaster, workers: Workers
) -> None:
    workers.start()
    task = master.submit(python(WAITS))
    await healthy(master, task)
    master.takes_results = False
    program(workers).kill()
    await until(lambda: task.attempt >= 2, "the end was told and not taken")
    assert workers.instance_folders()
    master.takes_results = True
    await until(lambda: task.failure, "the exit is reported")
    assert task.details["code"] == 137
    await until(lambda: not workers.instance_folders(), "the remains are gone")


async def test_another_clusters_instances_are_left_alone(
    master: StubMaster, workers: Workers
) -> None:
    worker = workers.start()
    task = master.submit(python(WAITS))
    await healthy(master, task)
    before = program(workers)
    worker.kill()
    del master.tasks[task.id]
    master.cluster_id = "cluster-2"
    master.reports.clear()
    workers.start()
    other = master.submit(python(WAITS))
    await healthy(master, other)
    assert list(master.seen.lines) == [other.id]
    master.cancel(other)
    await until(lambda: not master.seen.lines, "the other is gone")
    assert program(workers) == before


async def test_a_master_of_another_cluster_at_the_same_address_gets_nothing_removed(
    master: StubMaster, workers: Workers
) -> None:
    worker = workers.start()
    task = master.submit(python(WAITS))
    await healthy(master, task)
    before = program(workers)
    del master.tasks[task.id]
    master.cluster_id = "cluster-2"
    master.lose_leases()
    await until(lambda: "another cluster answers at this address" in worker.said(), "it is said")
    seen = len(master.reports)
    await until(lambda: len(master.reports) >= seen + 2, "reports to the other master")
    assert not master.seen.lines
    assert program(workers) == before
    # The first one is back, and knows its task no more.
    master.cluster_id = "cluster-1"
    master.lose_leases()
    await until(lambda: not workers.programs(), "now it is unwanted")


async def test_another_nodes_instances_are_left_alone(master: StubMaster, workers: Workers) -> None:
    worker = workers.start("n1")
    task = master.submit(python(WAITS))
    await healthy(master, task)
    before = program(workers)
    worker.kill()
    task.cancelled = True
    master.reports.clear()
    workers.start("n2")
    other = master.submit(python(WAITS))
    await healthy(master, other)
    assert all(list(it.lines) in ([], [other.id]) for it in master.reports)
    assert before.is_running()


async def test_a_number_that_another_process_has_by_now_is_not_taken_for_the_program(
    master: StubMaster, workers: Workers
) -> None:
    worker = workers.start()
    task = master.submit(python(WAITS))
    await healthy(master, task)
    worker.kill()
    shim = shim_of(workers, task.id)
    kill(shim)
    it = program(workers)
    it.kill()
    await until(lambda: not psutil.pid_exists(shim), "the shim is gone")
    # This test's own process has the numbers now.
    (folder,) = workers.instance_folders()
    path = folder / "started.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"shim_pid": me(), "pid": me()}))
    master.lose_leases()
    workers.start()
    await until(lambda: task.failure, "the end is reported")
    assert task.failure is not None
    assert "nobody saw how it ended" in task.failure.message
    assert task.details["code"] is None


def me() -> int:
    return psutil.Process().pid


async def test_a_program_whose_shim_was_killed_does_not_outlive_it(
    master: StubMaster, workers: Workers
) -> None:
    workers.start()
    task = master.submit(python(WAITS))
    await healthy(master, task)
    kill(shim_of(workers, task.id))
    await until(lambda: task.failure, "the end is reported")
    assert not workers.programs()


async def test_a_port_is_promised_to_one_instance_though_nobody_listens_there_yet(
    master: StubMaster, workers: Workers
) -> None:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    tasks = [master.submit(python(WAITS, ports=[pb.Port(port=port)])) for _ in range(4)]
    workers.start()
    await until(lambda: sum(it.failure is not None for it in tasks) >= 3, "the others are told")
    (first,) = [it for it in tasks if it.failure is None]
    await healthy(master, first)
    for task in tasks:
        if task.failure is not None:
            assert task.failure.message == f"the port {port} is another instance's"
