"""What does not fit is refused by name, with a remedy, before anything is done."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from http_door import HttpDoor, refused
from wired_master import WiredMaster

from pullwork_master.gateway import bounds

JSON = {"Content-Type": "application/json"}

# A body for POST /tasks, the field that is named, and a word of the remedy.
BODIES: list[tuple[Any, str, str]] = [
    ([], "body", "an object"),
    ("x", "body", "an object"),
    ({}, "tasks", "at least one"),
    ({"tasks": {}}, "tasks", "a list"),
    ({"tasks": [None]}, "tasks[0]", "an object"),
    ({"tasks": [{"type": "t", "quue": "x"}]}, "tasks[0].quue", "did you mean queue"),
    ({"tasks": [{"type": "t", "arg": 1}]}, "tasks[0].arg", "did you mean args"),
    ({"tasks": [{"type": "t"}, {"type": 5}]}, "tasks[1].type", "a text"),
    ({"tasks": [{"type": "t", "priority": "high"}]}, "tasks[0].priority", "a whole number"),
    ({"tasks": [{"type": "t", "priority": 2**40}]}, "tasks[0].priority", "32 bits"),
    ({"tasks": [{"type": "t", "priority": 101}]}, "tasks[0].priority", "100"),
    ({"tasks": [{"type": "t", "delay": 5}]}, "tasks[0].delay", '"1.5s"'),
    ({"tasks": [{"type": "t", "delay": "-1s"}]}, "tasks[0].delay", ""),
    ({"tasks": [{"type": "t", "not_before": "soon"}]}, "tasks[0].not_before", "a moment"),
    ({"tasks": [{"type": "t", "payload": "*"}]}, "tasks[0].payload", "base64"),
    ({"tasks": [{"type": "t", "payload": 1}]}, "tasks[0].payload", "base64"),
    ({"tasks": [{"type": "t", "headers": {"a": 1}}]}, "tasks[0].headers", "an object"),
    ({"tasks": [{"type": "t", "retry": 3}]}, "tasks[0].retry", "an object"),
    ({"tasks": [{"type": "t", "retry": {"tries": 3}}]}, "tasks[0].retry.tries", "max_attempts"),
    (
        {"tasks": [{"type": "t", "retry": {"multiplier": 10**400}}]},
        "tasks[0].retry.multiplier",
        "a number",
    ),
    ({"tasks": [{"type": "t", "args": 1, "payload": "AA=="}]}, "tasks[0].args", "one of them"),
    (
        {"tasks": [{"type": "t", "args": 1, "content_type": "text/plain"}]},
        "tasks[0].content_type",
        "leave it out",
    ),
    ({"tasks": [{"type": "t", "taskId": "x", "task_id": "y"}]}, "tasks[0].task_id", "once"),
    ({"tasks": [{"type": "t", "task_id": "x"}]}, "tasks[0].task_id", ""),
    ({"tasks": [{"type": "\ud800"}]}, "tasks[0].type", "a text"),
]


@pytest.mark.parametrize(("body", "field", "remedy"), BODIES, ids=lambda it: repr(it)[:60])
async def test_a_bad_field_of_a_body_is_named(
    master: WiredMaster, http: httpx.AsyncClient, body: Any, field: str, remedy: str
) -> None:
    answer = await http.post("/tasks", content=json.dumps(body), headers=JSON)
    told = refused(answer, 400, "INVALID_FIELD")
    assert told["field"] == field
    assert told["detail"].startswith(field)
    assert remedy in told["detail"]
    assert (await http.get("/tasks")).json()["tasks"] == []


NOT_JSON = [
    b"{",
    b"type=t",
    b"\xff",
    b'{"tasks": NaN}',
    b'{"tasks": [], "tasks": []}',
    b"[" * 100_000,
    b"1" * 10_000,
]


@pytest.mark.parametrize("body", NOT_JSON, ids=lambda it: repr(it)[:40])
async def test_a_body_that_is_no_json_is_refused(http: httpx.AsyncClient, body: bytes) -> None:
    refused(await http.post("/tasks", content=body, headers=JSON), 400, "NOT_JSON")


QUERIES = [
    ("/tasks?pagesize=1", "pagesize", "did you mean page_size"),
    ("/tasks?page_size=many", "page_size", "a whole number"),
    ("/tasks?page_size=", "page_size", "a whole number"),
    ("/tasks?page_size=1&page_size=2", "page_size", "once"),
    ("/tasks?page_size=100000", "page_size", "1000"),
    ("/tasks?filter=x", "filter", "filter.queue"),
    ("/tasks?filter.state=x", "filter.state", "did you mean states"),
    ("/tasks?filter.states=FAILED", "filter.states[0]", "TASK_STATE_FAILED"),
    ("/tasks?filter.queue.name=x", "filter.queue.name", "no fields"),
    ("/services/web?bogus=1", "bogus", "there are none"),
    ("/tasks?page_token=x", "page_token", "start without one"),
    ("/tasks?%FF=x", "query", "UTF-8"),
    ("/tasks/watch?queue=a&every_change=yes", "every_change", "true or false"),
    ("/tasks/watch?queue=a&cursor=x", "cursor", "start without one"),
    ("/tasks/watch?queue=a&owner=b", "task_ids", "exactly one"),
    ("/tasks/no-uuid", "task_id", "UUID"),
    ("/queues/%FF", "name", "UTF-8"),
    ("/queues/a%20b", "name", "A-Z"),
    ("/queues?x", "x", "there are none"),
]


@pytest.mark.parametrize(("path", "field", "remedy"), QUERIES)
async def test_a_bad_parameter_is_named(
    http: httpx.AsyncClient, path: str, field: str, remedy: str
) -> None:
    told = refused(await http.get(path), 400, "INVALID_FIELD")
    assert told["field"] == field
    assert remedy in told["detail"]


async def test_a_parameter_stands_in_one_place_only(http: httpx.AsyncClient) -> None:
    in_both = await http.post("/queues/default/pause", json={"name": "other"})
    assert refused(in_both, 400, "INVALID_FIELD")["field"] == "name"
    beside = await http.post("/tasks?tasks=1", json={"tasks": []})
    assert "into the body" in refused(beside, 400, "INVALID_FIELD")["detail"]
    body = await http.request("GET", "/queues", content=b"{}", headers=JSON)
    assert refused(body, 400, "INVALID_FIELD")["field"] == "body"
    assert (await http.get("/queues/default")).json()["queue"]["paused"] is False


KINDS = [
    {"Content-Type": "application/x-www-form-urlencoded"},
    {"Content-Type": "text/plain"},
    {"Content-Type": "application/json; charset=latin-1"},
    {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    {},
]


@pytest.mark.parametrize("headers", KINDS, ids=str)
async def test_a_body_of_another_kind_is_refused(
    http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await http.post("/tasks", content=b'{"tasks": []}', headers=headers)
    told = refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert "application/json" in told["detail"]


async def test_json_says_utf_8_if_it_likes(http: httpx.AsyncClient) -> None:
    headers = {"Content-Type": 'Application/JSON; charset="UTF-8"'}
    answer = await http.post("/tasks", content=b'{"tasks": [{"type": "t"}]}', headers=headers)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("whole", [True, False], ids=["length", "chunks"])
async def test_an_oversize_body_is_refused_and_its_sender_hears_it(
    http: httpx.AsyncClient, whole: bool
) -> None:
    async def chunks() -> Any:
        for _ in range(bounds.BODY_BYTES_MAX // 65_536 + 1):
            yield b" " * 65_536

    body: Any = b" " * (bounds.BODY_BYTES_MAX + 1) if whole else chunks()
    answer = await http.post("/tasks", content=body, headers=JSON)
    told = refused(answer, 413, "BODY_TOO_LARGE")
    assert str(bounds.BODY_BYTES_MAX) in told["detail"]


async def test_a_payload_beyond_the_bound_is_refused_as_over_grpc(http: httpx.AsyncClient) -> None:
    task = {"type": "t", "args": "x" * (1024 * 1024)}
    told = refused(await http.post("/tasks", json={"tasks": [task]}), 400, "INVALID_FIELD")
    assert told["field"] == "tasks[0].payload"


METHODS = [
    ("DELETE", "/tasks", "GET, HEAD, POST"),
    ("POST", "/queues", "GET, HEAD"),
    ("GET", "/tasks/run", "POST"),
    ("OPTIONS", "/tasks/cancel", "POST"),
    ("PUT", "/queues/default", "GET, HEAD"),
    ("POST", "/openapi.json", "GET, HEAD"),
]


@pytest.mark.parametrize(("method", "path", "allowed"), METHODS)
async def test_a_wrong_method_is_refused_with_those_that_are_taken(
    http: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    answer = await http.request(method, path)
    refused(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/", "/task", "/tasks/", "/queues//pause", "/queues/a/b", "//"])
async def test_an_unknown_path_is_refused_and_says_where_all_are_told(
    door: HttpDoor, http: httpx.AsyncClient, path: str
) -> None:
    answer = await http.get(f"{door.url}{path}")
    assert "/openapi.json" in refused(answer, 404, "NO_SUCH_PATH")["detail"]


async def test_a_body_that_never_comes_is_given_up(
    door: HttpDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pullwork_master.gateway.body.BODY_S_MAX", 0.2)
    host, _, port = door.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\n\r\n{"
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n"), 30)
    assert b" 408 " in head
    writer.close()


async def test_a_name_that_stands_twice_is_found_at_once_among_however_many(
    http: httpx.AsyncClient,
) -> None:
    names = ",".join(f'"{number}":0' for number in range(60_000))
    body = f'{{{names},"59999":1}}'
    answer = await http.post("/tasks", content=body, headers=JSON)
    assert answer.status_code == 400
    assert "'59999' stands twice" in answer.json()["detail"]
