"""A node with a real container engine: what it makes, adopts, reports and removes."""

from __future__ import annotations

import asyncio
import socket
import urllib.request

import pytest
from cluster import until
from containers_of_tests import BASE, SERVES, Containers
from engine_proxy import EngineProxy
from node_workers import Workers, instance
from stub_master import StubMaster, Task

from pullwork.v1 import service_pb2 as pb

pytestmark = pytest.mark.container


def serving(**more: object) -> pb.InstanceSpec:
    ports = [pb.Port(name="web", port=8080)]
    return instance("python3", "-c", SERVES, image=BASE, ports=ports, **more)


async def healthy(master: StubMaster, task: Task) -> None:
    await until(lambda: master.state(task) == "HEALTHY", "the instance is healthy")


async def test_a_container_is_made_bounded_published_and_removed_when_unwanted(
    master: StubMaster, workers: Workers, containers: Containers
) -> None:
    workers.start(offer="container")
    resources = pb.Resources(cpus=0.5, memory_bytes=64 << 20)
    http = pb.HealthCheck.Http(path="/")
    task = master.submit(
        serving(resources=resources, health=pb.HealthCheck(http=http)), "container"
    )
    await healthy(master, task)
    assert master.seen.runners == ["container"]
    (container,) = containers.all()
    seen = containers.inspect(container)
    host = seen["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["PidsLimit"]) == (500_000_000, 64 << 20, 2048)
    assert host["CapDrop"] == ["ALL"]
    assert "no-new-privileges" in host["SecurityOpt"]
    assert not host["Privileged"]
    assert not host["Binds"]
    assert host["RestartPolicy"]["Name"] == "no"
    assert seen["Config"]["Labels"]["pullwork.node"] == "n1"
    (address,) = master.seen.lines[task.id].addresses
    assert (address.name, address.host) == ("web", "127.0.0.1")
    url = f"http://{address.host}:{address.port}/"
    with await asyncio.to_thread(urllib.request.urlopen, url) as answer:
        assert answer.status == 200
    master.cancel(task)
    await until(lambda: not containers.all(), "the container is gone")
    await until(lambda: not master.seen.lines, "nothing is left to report")


async def test_a_container_that_ends_is_reported_and_removed(
    master: StubMaster, workers: Workers, containers: Containers
) -> None:
    workers.start(offer="container")
    code = "import sys; print('one', flush=True); print('two', file=sys.stderr); sys.exit(4)"
    task = master.submit(instance("python3", "-c", code, image=BASE), "container")
    await until(lambda: task.failure, "the end is reported")
    assert task.failure is not None
    assert task.failure.type == "pullwork.InstanceExited"
    assert task.failure.message == "exited with 4"
    assert task.details["code"] == 4
    assert sorted(task.details["log"].split()) == ["one", "two"]
    assert 0 < task.details["started_at_ms"] <= task.details["ended_at_ms"]
    await until(lambda: not containers.all(), "the container is gone")


async def test_a_worker_that_is_killed_finds_the_same_container_again(
    master: StubMaster, workers: Workers, containers: Containers
) -> None:
    worker = workers.start(offer="container")
    task = master.submit(serving(), "container")
    await healthy(master, task)
    (before,) = containers.all()
    worker.kill()
    master.lose_leases()
    master.reports.clear()
    workers.start(offer="container")
    await healthy(master, task)
    await until(lambda: task.attempt == 2 and task.token, "the task is leased again")
    assert [it.id for it in containers.all()] == [before.id]
    assert task.failure is None


async def test_a_container_that_was_killed_while_the_worker_was_away_is_reported(
    master: StubMaster, workers: Workers, containers: Containers
) -> None:
    worker = workers.start(offer="container")
    task = master.submit(serving(), "container")
    await healthy(master, task)
    worker.kill()
    (container,) = containers.all()
    container.kill()
    master.lose_leases()
    workers.start(offer="container")
    await until(lambda: task.failure, "the end is reported")
    assert task.failure is not None
    assert task.failure.message == "exited with 137 (SIGKILL)"
    await until(lambda: not containers.all(), "the container is gone")


async def test_a_container_that_somebody_removed_has_vanished(
    master: StubMaster, workers: Workers, containers: Containers
) -> None:
    workers.start(offer="container")
    task = master.submit(serving(), "container")
    await healthy(master, task)
    (container,) = containers.all()
    container.remove(force=True)
    await until(lambda: task.failure, "the end is reported")
    assert task.failure is not None
    assert task.failure.type == "pullwork.InstanceExited"


async def test_containers_of_others_are_never_touched(
    master: StubMaster, workers: Workers, containers: Containers
) -> None:
    other_node = containers.by_another(**{"pullwork.node": "n2"})
    other_cluster = containers.by_another(
        **{"pullwork.node": "n1", "pullwork.cluster": f"not-{containers.cluster}"}
    )
    workers.start(offer="container")
    task = master.submit(serving(), "container")
    await healthy(master, task)
    assert list(master.seen.lines) == [task.id]
    master.cancel(task)
    await until(lambda: not master.seen.lines, "the own one is gone")
    for other in (other_node, other_cluster):
        other.reload()
        assert other.status == "running"


async def test_a_container_that_takes_too_much_memory_says_so(
    master: StubMaster, workers: Workers, containers: Containers
) -> None:
    workers.start(offer="container")
    resources = pb.Resources(memory_bytes=32 << 20)
    spec = instance("python3", "-c", "x = b'1' * (64 << 20)", image=BASE, resources=resources)
    task = master.submit(spec, "container")
    await until(lambda: task.failure, "the end is reported")
    assert task.failure is not None
    assert task.failure.message == (
        "exited with 137 (SIGKILL): it took more than its 32 MiB of memory"
    )


async def test_a_stranger_that_has_the_name_of_an_instance_is_left_alone(
    master: StubMaster, workers: Workers, containers: Containers
) -> None:
    spec = serving()
    task = master.submit(spec, "container")
    stranger = containers.by_another(f"pullwork-{spec.instance_id}-{task.id}")
    workers.start(offer="container")
    await until(lambda: task.failure, "the failure is reported")
    assert task.failure is not None
    assert task.failure.message.endswith("is not this node's")
    await until(lambda: not master.seen.lines, "nothing is left to report")
    stranger.reload()
    assert stranger.status == "running"


async def test_a_port_that_is_taken_is_said_by_its_number(
    master: StubMaster, workers: Workers, containers: Containers
) -> None:
    workers.start(offer="container")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        spec = serving()
        spec.spec.ports[0].host_port = number
        task = master.submit(spec, "container")
        await until(lambda: task.failure, "the failure is reported")
    assert task.failure is not None
    assert task.failure.type == "pullwork.InstanceStartFailed"
    assert task.failure.message == f"something on this node listens at port {number} already"
    await until(lambda: not containers.all(), "nothing is left")


async def test_an_image_that_is_not_allowed_is_refused_by_the_settings_name(
    master: StubMaster, workers: Workers, containers: Containers
) -> None:
    workers.start("n1", "--image", "team/*", "--image", "nginx:*", offer="container")
    task = master.submit(serving(), "container")
    await until(lambda: task.failure, "the refusal is reported")
    assert task.failure is not None
    assert task.failure.type == "pullwork.ImageNotAllowed"
    assert "worker.images allows team/*, nginx:*" in task.failure.message
    assert not containers.all()


async def test_an_image_that_can_not_be_had_says_so(
    master: StubMaster, workers: Workers, containers: Containers
) -> None:
    workers.start(offer="container")
    absent = serving()
    # A registry on this node that nobody serves: no other machine is asked.
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        absent.spec.image = f"127.0.0.1:{closed.getsockname()[1]}/none:1"
        task = master.submit(absent, "container")
        await until(lambda: master.state(task) == "PULLING", "it is being fetched")
        await until(lambda: task.failure, "the failure is reported")
    assert task.failure is not None
    assert task.failure.type == "pullwork.ImagePullFailed"
    assert "can't be fetched, tried 3 times" in task.failure.message


async def test_an_image_that_its_registry_does_not_have_is_not_asked_for_again(
    master: StubMaster, workers: Workers, containers: Containers
) -> None:
    asked: list[str] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readexactly(1) == b"\x16":
            return writer.close()  # it tries TLS first
        asked.append((await reader.readuntil(b"\r\n\r\n")).split()[1].decode())
        body = b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}'
        found = b"200 OK" if asked[-1] == "/v2/" else b"404 Not Found"
        head = b"Content-Type: application/json\r\nConnection: close\r\nContent-Length: "
        writer.write(b"HTTP/1.1 %s\r\n%s%d\r\n\r\n%s" % (found, head, len(body), body))
        await writer.drain()
        return writer.close()

    registry = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with registry:
        workers.start(offer="container")
        absent = serving()
        absent.spec.image = f"127.0.0.1:{registry.sockets[0].getsockname()[1]}/none:1"
        task = master.submit(absent, "container")
        await until(lambda: task.failure, "the failure is reported")
    assert task.failure is not None
    assert task.failure.type == "pullwork.ImagePullFailed"
    assert f"there is no image {absent.spec.image!r} to be had" in task.failure.message
    assert "/v2/none/manifests/1" in asked


async def test_an_engine_that_is_away_is_a_problem_and_no_reason_to_do_anything(
    master: StubMaster, workers: Workers, containers: Containers, engine_proxy: EngineProxy
) -> None:
    workers.start("n1", "--engine", engine_proxy.url, offer="container")
    task = master.submit(serving(), "container")
    await healthy(master, task)
    (before,) = containers.all()
    await engine_proxy.cut()
    await until(lambda: master.seen.problem, "the problem is reported")
    assert f"the container engine at {engine_proxy.url} does not answer" in master.seen.problem
    assert master.seen.runners == []
    waiting = master.submit(serving(), "container")
    await until(lambda: master.state(waiting) == "STARTING", "it waits")
    assert task.failure is None
    await engine_proxy.mend()
    await healthy(master, waiting)
    await healthy(master, task)
    assert not master.seen.problem
    assert before.id in [it.id for it in containers.all()]
    await engine_proxy.cut()
    before.remove(force=True)
    await engine_proxy.mend()
    await until(lambda: task.failure, "the end is reported")
    assert task.failure is not None
    assert task.failure.message == "its container vanished"


async def test_what_the_engine_makes_after_nobody_wants_it_any_more_is_removed(
    master: StubMaster, workers: Workers, containers: Containers, engine_proxy: EngineProxy
) -> None:
    workers.start("n1", "--engine", engine_proxy.url, offer="container")
    engine_proxy.holds = b"POST /v1.41/containers/create"
    task = master.submit(serving(), "container")
    await engine_proxy.held.wait()
    master.cancel(task)
    await until(lambda: master.state(task) == "STOPPING", "it is told to stop")
    engine_proxy.let_on.set()
    await until(lambda: not master.seen.lines, "nothing is left to report")
    assert containers.all() == []


async def test_a_log_comes_with_its_last_lines_and_those_that_follow(
    master: StubMaster, workers: Workers, containers: Containers
) -> None:
    workers.start(offer="container")
    code = (
        "import sys, time\n"
        "print('one'); print('two', flush=True); print('bad', file=sys.stderr, flush=True)\n"
        "import os\nwhile not os.path.exists('/tmp/go'): time.sleep(0.05)\n"
        "print('three', flush=True); time.sleep(600)"
    )
    task = master.submit(instance("python3", "-c", code, image=BASE), "container")
    await healthy(master, task)
    (container,) = containers.all()
    await until(lambda: len(container.logs().split()) == 3, "all was said")
    log_id = master.ask_log(task, tail=2, follow=True)
    await until(lambda: len(master.lines(log_id)) == 2, "the last lines came")
    container.exec_run("touch /tmp/go")
    await until(lambda: "three" in master.lines(log_id), "the line that followed came")
    lines = [line for it in master.logs[log_id] for line in it.lines]
    assert len(lines) == 3
    assert {it.text: it.stderr for it in lines}.get("bad", True)
    assert all(it.time.seconds > 0 for it in lines)


async def test_a_long_line_comes_in_pieces_and_none_is_cut_where_it_does_not_end(
    master: StubMaster, workers: Workers, containers: Containers
) -> None:
    workers.start(offer="container")
    code = (
        "import os, time\n"
        "said = '\\nx' + 'y' * 40000 + '\\nhalf\\rway\\u2028on\\n'\n"
        "print(said, end='', flush=True)\n"
        "while not os.path.exists('/tmp/go'): time.sleep(0.05)\n"
        "print(said + 'end', flush=True); time.sleep(600)"
    )
    task = master.submit(instance("python3", "-c", code, image=BASE), "container")
    await healthy(master, task)
    (container,) = containers.all()
    await until(lambda: len(container.logs()) > 40000, "all was said")
    log_id = master.ask_log(task, follow=True)
    await until(lambda: len(master.lines(log_id)) == 5, "the last lines came")
    container.exec_run("touch /tmp/go")
    await until(lambda: "end" in master.lines(log_id)[-1:], "the lines that followed came")
    lines = [line for it in master.logs[log_id] for line in it.lines]
    said = ["", "x" + "y" * 16383, "y" * 16384, "y" * (40001 - 2 * 16384), "half\rway\u2028on"]
    assert [it.text for it in lines] == [*said, *said, "end"]
    assert all(it.time.seconds > 0 for it in lines)


async def test_a_check_that_the_engine_does_not_run_says_nothing_of_the_program(
    master: StubMaster, workers: Workers, containers: Containers, engine_proxy: EngineProxy
) -> None:
    workers.start("n1", "--engine", engine_proxy.url, offer="container")
    command = pb.HealthCheck.Command(command=["test", "!", "-e", "/tmp/ill"])
    health = pb.HealthCheck(command=command, failures=1)
    health.interval.FromMilliseconds(50)
    health.restart_after.FromMilliseconds(100)
    task = master.submit(serving(health=health), "container")
    await healthy(master, task)
    await engine_proxy.cut()
    await until(lambda: master.seen.problem, "the problem is reported")
    told = len(master.reports)
    await until(lambda: len(master.reports) > told + 1, "checks were due meanwhile")
    assert master.state(task) == "HEALTHY"
    await engine_proxy.mend()
    await until(lambda: not master.seen.problem, "the engine is back")
    assert task.failure is None
    (container,) = containers.all()
    container.exec_run("touch /tmp/ill")
    await until(lambda: task.failure, "it is asked again")
    assert task.failure is not None
    assert task.failure.type == "pullwork.InstanceUnhealthy"


async def test_a_check_runs_inside_the_container(
    master: StubMaster, workers: Workers, containers: Containers
) -> None:
    workers.start(offer="container")
    command = pb.HealthCheck.Command(command=["test", "-e", "/tmp/well"])
    health = pb.HealthCheck(command=command)
    health.interval.FromMilliseconds(100)
    task = master.submit(serving(health=health), "container")
    await until(lambda: "its check ended with 1" in reason(master, task), "it is not well yet")
    (container,) = containers.all()
    container.exec_run("touch /tmp/well")
    await healthy(master, task)


def reason(master: StubMaster, task: Task) -> str:
    line = master.seen.lines.get(task.id)
    return "" if line is None else line.reason
