"""Problems are the table of errors: the same reason, field, metadata and moment to try again."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import httpx
import pytest
from http_door import client_of, opened, refused
from wired_master import WiredMaster, refusal, serving

from pullwork.errors import HTTP_STATUS, WIRE_ERRORS, PullworkError
from pullwork.status import from_status, to_status
from pullwork.v1 import task_pb2
from pullwork.v1.task_service_pb2 import CancelTasksRequest, SubmitTasksRequest
from pullwork_master.gateway import problems, refusals
from pullwork_master.storage.memory import MemoryStorage

ABSENT = "018f0000-0000-7000-8000-000000000000"
PAGE = Path(__file__).parents[2] / "docs" / "rest.md"


@pytest.mark.parametrize("error", WIRE_ERRORS, ids=lambda it: it.reason)
def test_every_row_of_the_table_is_a_problem(error: type[PullworkError]) -> None:
    packed = to_status(error("x; y", field="a.b", metadata={"k": "v"}, retry_after_s=2.5))
    answer = problems.response(from_status(packed), packed.code.name)
    told = problems.document(from_status(packed), packed.code.name)
    assert told["reason"] == error.reason
    assert told["status"] == answer.status_code == HTTP_STATUS[error.code]
    assert (told["detail"], told["field"], told["metadata"]) == ("x; y", "a.b", {"k": "v"})
    assert answer.headers["retry-after"] == "3"


@pytest.mark.parametrize("code", ["UNIMPLEMENTED", "DEADLINE_EXCEEDED", "OUT_OF_RANGE", "ODD"])
def test_a_status_without_a_row_is_a_problem_too(code: str) -> None:
    told = problems.document(PullworkError("said elsewhere"), code)
    assert told["reason"] == code
    assert told["status"] == HTTP_STATUS.get(code, 500)


def _own() -> list[type[refusals.HttpRefusal]]:
    return [
        it
        for it in vars(refusals).values()
        if inspect.isclass(it) and issubclass(it, refusals.HttpRefusal) and it.reason
    ]


@pytest.mark.parametrize("error", _own(), ids=lambda it: it.reason)
def test_a_refusal_of_the_door_stands_in_its_page(error: type[refusals.HttpRefusal]) -> None:
    row = f"| {error.http_status} | `{error.reason}` |"
    assert row in PAGE.read_text(encoding="utf-8")


async def test_an_error_is_the_same_over_both_doors(
    master: WiredMaster, http: httpx.AsyncClient
) -> None:
    (task_id,) = await master.submit()
    await http.post("/tasks/cancel", json={"task_ids": [task_id]})
    for ids, status in (([task_id], 409), ([ABSENT], 404), (["x"], 400)):
        over_grpc = await refusal(master.tasks.CancelTasks(CancelTasksRequest(task_ids=ids)))
        answer = await http.post("/tasks/cancel", json={"task_ids": ids})
        told = refused(answer, status, over_grpc.reason)
        assert told["detail"] == str(over_grpc)
        assert told.get("field", "") == over_grpc.field
        assert told.get("metadata", {}) == over_grpc.metadata


async def test_a_full_queue_says_when_to_come_back() -> None:
    async with (
        serving(MemoryStorage(), queue_tasks_max=1) as master,
        opened(master) as door,
        client_of(door) as http,
    ):
        await master.submit()
        spec = task_pb2.TaskSpec(type="t")
        over_grpc = await refusal(master.tasks.SubmitTasks(SubmitTasksRequest(tasks=[spec])))
        answer = await http.post("/tasks", json={"tasks": [{"type": "t"}]})
        told = refused(answer, 429, "QUEUE_FULL")
        assert told["retry_after_s"] == over_grpc.retry_after_s
        assert int(answer.headers["retry-after"]) >= over_grpc.retry_after_s > 0


async def test_a_bug_behind_the_door_tells_only_where_to_look(
    master: WiredMaster, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("secret words")

    master.disk.get = broken  # type: ignore[assignment, method-assign]
    answer = await http.get(f"/tasks/{ABSENT}")
    told = refused(answer, 500, "INTERNAL")
    assert "secret" not in answer.text
    assert told["metadata"]["error_id"] in told["detail"]
    (record,) = (each for each in caplog.records if each.message == "bug in a call")
    assert getattr(record, "error_id") == told["metadata"]["error_id"]  # noqa: B009


async def test_a_bug_of_the_door_itself_is_one_too(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> bytes:
        raise RuntimeError("secret words")

    monkeypatch.setattr("pullwork_master.gateway.showing.written", broken)
    answer = await http.get("/queues")
    refused(answer, 500, "INTERNAL")
    assert "secret" not in answer.text
    assert any(each.message == "bug in a call" for each in caplog.records)
