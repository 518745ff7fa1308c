"""How it is told whether an instance is well, and what follows when it is not."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest
from cluster import until
from node_workers import Workers, python, seconds
from stub_master import StubMaster, Task

from pullwork.v1 import service_pb2 as pb
from pullwork_worker.services import checks
from pullwork_worker.services.checks import Health, Judge
from pullwork_worker.services.order import Check, Way

CHECK = Check(Way.TCP, failures=3, start_period_s=10, restart_after_s=5)
# Answers with 200, or with what stands in the file `answer`; deaf while there is a file `deaf`.
SERVER = """
import http.server, os, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        while os.path.exists('deaf'): time.sleep(0.05)
        code = int(open('answer').read()) if os.path.exists('answer') else 200
        self.send_response(code); self.send_header('Location', '/far'); self.end_headers()
    def log_message(self, *_): print(self.path, flush=True)
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
"""


def judged(answers: list[tuple[float, bool]], check: Check = CHECK) -> list[Health]:
    judge = Judge(check, started_at=0)
    return [judge.saw(well, now) for now, well in answers]


def test_failures_count_only_after_the_start_period_or_the_first_success() -> None:
    starting = judged([(1, False), (2, False), (3, False), (9, False)])
    assert starting == [Health.STARTING] * 4
    assert judged([(9, False), (10, False), (11, False), (12, False)])[-1] is Health.UNWELL
    assert judged([(1, True), (2, False), (3, False), (4, False)])[-1] is Health.UNWELL


def test_only_so_many_failures_in_a_row_make_it_unwell_and_one_success_makes_it_well() -> None:
    mixed = judged([(1, True), (2, False), (3, False), (4, True), (5, False), (6, False)])
    assert set(mixed) == {Health.WELL}
    ill = judged([(1, True), (2, False), (3, False), (4, False), (5, True)])
    assert ill[-2:] == [Health.UNWELL, Health.WELL]


def test_what_stays_unwell_for_too_long_is_hopeless() -> None:
    health = judged([(1, True), (2, False), (3, False), (4, False), (8.9, False), (9, False)])
    assert health[-2:] == [Health.UNWELL, Health.HOPELESS]


def test_the_judge_is_judged_by_planted_bugs() -> None:
    hasty = dataclasses.replace(CHECK, start_period_s=0)
    with pytest.raises(AssertionError):
        assert judged([(1, False), (2, False), (3, False)], hasty)[-1] is Health.STARTING
    strict = dataclasses.replace(CHECK, failures=1)
    with pytest.raises(AssertionError):
        assert set(judged([(1, True), (2, False)], strict)) == {Health.WELL}


def checked(**ways: object) -> pb.InstanceSpec:
    health = pb.HealthCheck(failures=2, **ways)  # type: ignore[arg-type]
    health.interval.CopyFrom(seconds(0.1))
    health.timeout.CopyFrom(seconds(0.5))
    health.restart_after.CopyFrom(seconds(60))
    return python(SERVER, ports=[pb.Port()], health=health)


def work(workers: Workers) -> Path:
    (folder,) = workers.instance_folders()
    return folder / "work"


async def state(master: StubMaster, task: Task, wanted: str, reason: str = "") -> None:
    def holds() -> bool:
        line = master.seen.lines.get(task.id)
        return line is not None and master.state(task) == wanted and reason in line.reason

    await until(holds, f"{wanted} {reason}")


async def test_an_http_check_is_believed_both_ways(master: StubMaster, workers: Workers) -> None:
    workers.start()
    task = master.submit(checked(http=pb.HealthCheck.Http(path="/health?deep=1")))
    await state(master, task, "HEALTHY")
    for code in (302, 204):
        (work(workers) / "answer").write_text(str(code))
    log_id = master.ask_log(task)
    await until(lambda: log_id in master.log_ended, "the log came")
    assert set(master.lines(log_id)) == {"/health?deep=1"}
    (work(workers) / "answer").write_text("503")
    await state(master, task, "UNHEALTHY", "it answers with 503")
    (work(workers) / "answer").unlink()
    await state(master, task, "HEALTHY")
    (work(workers) / "deaf").touch()
    await state(master, task, "UNHEALTHY", "no answer within 0.5 s")
    assert task.failure is None


async def test_a_tcp_check_needs_somebody_who_listens(master: StubMaster, workers: Workers) -> None:
    workers.start()
    spec = checked(tcp=pb.HealthCheck.Tcp())
    spec.spec.health.start_period.CopyFrom(seconds(0.2))
    task = master.submit(spec)
    await state(master, task, "HEALTHY")
    spec.spec.command[-1] = "import time; time.sleep(600)"
    silent = master.submit(spec)
    await state(master, silent, "UNHEALTHY", "refused")


async def test_a_command_check_runs_beside_the_program_in_its_folder(
    master: StubMaster, workers: Workers
) -> None:
    workers.start()
    command = ["sh", "-c", 'test "$PULLWORK_SERVICE" = web && test -e well']
    task = master.submit(checked(command=pb.HealthCheck.Command(command=command)))
    await state(master, task, "STARTING", "its check ended with 1")
    (work(workers) / "well").touch()
    await state(master, task, "HEALTHY")


async def test_an_instance_that_stays_unhealthy_is_stopped_and_says_why(
    master: StubMaster, workers: Workers
) -> None:
    workers.start()
    spec = checked(http=pb.HealthCheck.Http())
    spec.spec.health.restart_after.CopyFrom(seconds(0.3))
    task = master.submit(spec)
    await state(master, task, "HEALTHY")
    (work(workers) / "answer").write_text("500")
    await until(lambda: task.failure, "its end is told")
    assert task.failure is not None
    assert task.failure.type == "pullwork.InstanceUnhealthy"
    assert "not well for 0.3 s (it answers with 500)" in task.failure.message
    assert task.details["code"] == 143
    await until(lambda: not workers.programs(), "it is gone")


async def test_a_found_instance_does_not_look_ill_before_it_was_asked(
    master: StubMaster, workers: Workers
) -> None:
    worker = workers.start()
    task = master.submit(checked(http=pb.HealthCheck.Http()))
    await state(master, task, "HEALTHY")
    worker.kill()
    master.reports.clear()
    workers.start()
    await until(lambda: master.reports, "a report")
    assert master.reports[0].lines[task.id].state == pb.INSTANCE_STATE_HEALTHY


async def test_a_door_that_closes_at_once_is_nobody_who_listens() -> None:
    hears = False

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if hears:
            await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert "closes connections at once" in await checks._ask_tcp("127.0.0.1", port)
        hears = True
        assert "without an answer" in await checks._ask_http("127.0.0.1", port, "/")


async def test_what_is_no_status_is_no_http_and_the_next_check_is_believed() -> None:
    told = ["²", "9" * 900, "-200", "200"]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {told.pop(0)} OK\r\n\r\n".encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        said = [await checks._ask_http("127.0.0.1", port, "/") for _ in range(4)]
    assert said == [*3 * ["its answer is no HTTP"], ""]
