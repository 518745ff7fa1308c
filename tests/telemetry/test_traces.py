"""A task's trace is one, whoever submits, waits and runs, and its attempts are told apart."""

from __future__ import annotations

import json
import uuid

import pytest
from cluster import Cluster, until
from jobs import hog
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from receiver import Receiver, Seen, words
from trace_jobs import hold, isolated, leaf
from whole import MASTER, SHOP, WORKER, faults, of_task, submitted

from pullwork import Client
from pullwork.errors import TaskIdConflictError
from pullwork.ids import new_task_id


async def _arrived(receiver: Receiver, task_id: str, count: int) -> list[Seen]:
    await until(
        lambda: len(of_task(receiver, task_id)) >= count, f"{count} spans of the task are there"
    )
    return of_task(receiver, task_id)


async def test_one_trace_is_seen_whole_across_three_processes(
    told: Cluster, receiver: Receiver
) -> None:
    await told.master()
    worker = told.worker("w", tasks="trace_jobs")
    task_id = await submitted(told, "trace.isolated", '{"number": 7}')
    submit, wait, process = await _arrived(receiver, task_id, 3)
    assert faults(receiver, task_id) == []
    print(f"trace {submit.span.trace_id.hex()}")
    for seen in (*receiver.spans("order"), submit, wait, process):
        print(f"  {seen.service:<16} pid {seen.resource['process.pid']:<7} {seen.name}")
    for seen in (submit, wait, process):
        assert seen.attributes["messaging.system"] == "pullwork"
        assert seen.attributes["messaging.destination.name"] == "default"
        assert seen.attributes["pullwork.task.type"] == "trace.isolated"
    assert submit.attributes["messaging.operation.name"] == "submit"
    assert submit.attributes["messaging.operation.type"] == "send"
    assert f":{submit.attributes['server.port']}" in told.address
    assert wait.attributes["pullwork.attempt"] == 1
    assert process.attributes["messaging.operation.type"] == "process"
    assert process.attributes["pullwork.worker"] == "w"
    assert process.resource["process.pid"] != worker.pid, "it ran in a child of the worker"
    assert not process.span.links


async def test_a_worker_that_forgets_the_trace_is_caught(told: Cluster, receiver: Receiver) -> None:
    await told.master()
    told.program("w", "forgetful_worker", "--tasks", "trace_jobs")
    task_id = await submitted(told, "trace.leaf", '{"number": 7}')
    await _arrived(receiver, task_id, 3)
    assert "process is no child of the submission" in faults(receiver, task_id)


@pytest.mark.parametrize("where", ["process", "thread", "loop"])
async def test_what_a_task_submits_is_its_child(
    told: Cluster, receiver: Receiver, where: str
) -> None:
    await told.master()
    told.worker("w", tasks="trace_jobs")
    task_id = await submitted(told, f"trace.spawn.{where}", '{"number": 3}')
    submits = await until(
        lambda: [
            seen
            for seen in receiver.spans("submit default")
            if seen.attributes["pullwork.task.type"] == "trace.leaf"
        ],
        "the child's submission is there",
    )
    leaf_id = submits[0].attributes["messaging.message.id"]
    *_, process = await _arrived(receiver, task_id, 3)
    child_spans = await _arrived(receiver, leaf_id, 3)
    assert process.name == "process default"
    assert submits[0].span.parent_span_id == process.span.span_id
    assert {seen.span.trace_id for seen in child_spans} == {process.span.trace_id}
    assert submits[0].resource["process.pid"] == process.resource["process.pid"]
    assert submits[0].service == WORKER


async def test_a_retry_links_to_the_attempt_before_it(told: Cluster, receiver: Receiver) -> None:
    await told.master()
    told.worker("w", tasks="trace_jobs")
    task_id = await submitted(told, "trace.flaky", "{}")
    await _arrived(receiver, task_id, 7)
    assert len(of_task(receiver, task_id)) == 1 + 3 + 3
    waits = {it.attributes["pullwork.attempt"]: it for it in of_task(receiver, task_id, "wait")}
    runs = {it.attributes["pullwork.attempt"]: it for it in of_task(receiver, task_id, "process")}
    assert list(runs) == list(waits) == [1, 2, 3]
    for attempt in (2, 3):
        former = runs[attempt - 1].span
        for seen in (waits[attempt], runs[attempt]):
            [link] = seen.span.links
            assert (link.trace_id, link.span_id) == (former.trace_id, former.span_id)
            assert words(link.attributes) == {"pullwork.attempt": attempt - 1}
        assert former.status.code == Status.STATUS_CODE_ERROR
        assert runs[attempt - 1].attributes["error.type"] == "builtins.ValueError"
        [event] = former.events
        assert words(event.attributes)["exception.message"] == "not yet"
    assert runs[3].span.status.code != Status.STATUS_CODE_ERROR
    assert len({seen.span.trace_id for seen in of_task(receiver, task_id)}) == 1


async def test_the_attempt_after_a_death_links_to_it_by_an_id_that_nobody_sent(
    told: Cluster, receiver: Receiver
) -> None:
    await told.master()
    worker = told.worker("doomed", tasks="trace_jobs", slots=1)
    async with Client(told.address) as client:
        handle = await client.submit(hold.with_args(str(told.folder / "gate")))
        await until((told.folder / "began").exists, "it runs")
        worker.kill()
        told.worker("heir", tasks="trace_jobs", slots=1)
        (told.folder / "gate").touch()
        assert await handle.result(30) == 2
    await _arrived(receiver, handle.id, 3)
    [process] = of_task(receiver, handle.id, "process")
    wait = of_task(receiver, handle.id, "wait")[1]
    assert process.attributes["pullwork.worker"] == "heir"
    [link], [wait_link] = process.span.links, wait.span.links
    assert link.span_id == wait_link.span_id not in {b"", process.span.span_id}
    # Nobody traced the submission: the trace's id is the task's.
    assert uuid.UUID(bytes=process.span.trace_id) == uuid.UUID(handle.id)
    assert wait.span.trace_id == process.span.trace_id == link.trace_id
    assert wait.span.parent_span_id == b""


async def test_what_the_submitter_does_not_sample_nobody_does(
    told: Cluster, receiver: Receiver
) -> None:
    await told.master()
    told.worker("w", tasks="trace_jobs")
    told.env["OTEL_TRACES_SAMPLER"] = "always_off"
    unseen = await submitted(told, "trace.leaf", '{"number": 1}')
    del told.env["OTEL_TRACES_SAMPLER"]
    seen = await submitted(told, "trace.leaf", '{"number": 2}')
    await _arrived(receiver, seen, 3)
    assert of_task(receiver, unseen) == []


async def test_log_lines_say_which_trace_task_and_worker_they_are_of(
    told: Cluster, receiver: Receiver
) -> None:
    await told.master()
    worker = told.worker("w", tasks="trace_jobs")
    on_loop = await submitted(told, "trace.said", '{"number": 1}')
    in_child = await submitted(told, "trace.isolated", '{"number": 2}')
    for task_id, message in ((on_loop, "said 1"), (in_child, "isolated 2")):
        await _arrived(receiver, task_id, 3)
        [process] = of_task(receiver, task_id, "process")
        line = await until(lambda: _line(worker.said(), message), f"{message} is logged")  # noqa: B023
        ids = {
            "trace_id": process.span.trace_id.hex(),
            "span_id": process.span.span_id.hex(),
            "task_id": task_id,
            "attempt": 1,
            "worker": "w",
        }
        # A child's line is the message of its worker's.
        if message == line["message"]:
            assert {key: line.get(key) for key in ids} == ids
        else:
            assert all(f"{key}={value}" in line["message"] for key, value in ids.items())


def _line(said: str, message: str) -> dict[str, str]:
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return next((line for line in lines if message in line["message"]), {})


async def test_a_worker_that_leaves_sends_what_its_children_did(
    told: Cluster, receiver: Receiver
) -> None:
    told.env["OTEL_BSP_SCHEDULE_DELAY"] = "3600000"
    await told.master()
    worker = told.worker("w", tasks="trace_jobs")
    async with Client(told.address) as client:
        child = await client.submit(isolated.with_args(1))
        on_loop = await client.submit(leaf.with_args(1))
        assert (await child.result(30), await on_loop.result(30)) == (1, 1)
    worker.terminate()
    assert await worker.ended() == 0
    assert "a child process ended" not in worker.said()
    for handle in (child, on_loop):
        [process] = of_task(receiver, handle.id, "process")
        assert process.span.kind == Span.SPAN_KIND_CONSUMER


async def test_a_memory_limit_leaves_room_for_telemetry_and_still_limits(
    told: Cluster, receiver: Receiver
) -> None:
    await told.master()
    told.worker("w", "--memory-limit", "128MiB", "--tasks", "jobs", tasks="trace_jobs", slots=1)
    async with Client(told.address) as client:
        small = await client.submit_many([isolated.with_args(number) for number in range(20)])
        assert [await it.result(30) for it in small] == list(range(20))
        await _arrived(receiver, small[-1].id, 2)
        greedy = await client.submit(hog.with_args())
        assert (await greedy.wait(60)).failure.type == "builtins.MemoryError"
        assert await client.run(isolated.with_args(7)) == 7
    [process] = await until(lambda: of_task(receiver, greedy.id, "process"), "its span is there")
    assert process.attributes["error.type"] == "builtins.MemoryError"


async def test_a_program_that_runs_for_a_task_is_told_the_trace(
    told: Cluster, receiver: Receiver
) -> None:
    await told.master()
    told.worker("w", "--command", "trace.env=sh -c 'echo $TRACEPARENT'", tasks="trace_jobs")
    async with Client(told.address) as client:
        handle = await client.submit_raw("trace.env", b"")
        printed = (await handle.result(30)).decode().strip()
    [_, process] = await _arrived(receiver, handle.id, 2)
    version, trace_id, span_id, _ = printed.split("-")
    assert version == "00"
    assert (trace_id, span_id) == (process.span.trace_id.hex(), process.span.span_id.hex())


async def test_the_command_line_traces_what_it_submits(told: Cluster, receiver: Receiver) -> None:
    await told.master()
    told.worker("w", tasks="trace_jobs")
    told.env["PULLWORK_ADDRESS"] = told.address
    ran = told.program("cli", "cli_program", "run", "trace.leaf", "number=4")
    assert await ran.ended() == 0, ran.said()
    [submit] = await until(lambda: receiver.spans("submit default"), "the submission is there")
    assert submit.service == "pullwork"
    spans = await _arrived(receiver, submit.attributes["messaging.message.id"], 3)
    assert {seen.service for seen in spans} == {"pullwork", MASTER, WORKER}
    assert SHOP not in {seen.service for seen in spans}


async def test_a_repeated_submission_may_come_in_another_trace(told: Cluster) -> None:
    await told.master()
    task_id = new_task_id()
    traces = [f"00-{digit * 32}-{digit * 16}-01" for digit in "12"]
    async with Client(told.address) as client:
        for trace in traces:
            headers = {"traceparent": trace, "tracestate": f"a={trace[3]}", "kept": "as it was"}
            handle = await client.submit_raw("a", b"x", task_id=task_id, headers=headers)
            assert handle.duplicate is (trace is traces[1])
        task = await client.get(task_id)
        assert task.headers["traceparent"] == traces[0]
        with pytest.raises(TaskIdConflictError):
            await client.submit_raw("a", b"x", task_id=task_id, headers={"kept": "otherwise"})
