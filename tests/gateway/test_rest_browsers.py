"""A page of another site changes nothing here, though the browser would reach the master."""

from __future__ import annotations

import httpx
import pytest
from http_door import HttpDoor, client_of, opened, refused
from wired_master import WiredMaster

TASK = {"tasks": [{"type": "t"}]}


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:7780",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "a b",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/queues", "/openapi.json", "/nowhere"])
async def test_a_name_that_is_not_ours_is_answered_nothing(
    http: httpx.AsyncClient, host: str, path: str
) -> None:
    told = refused(await http.get(path, headers={"Host": host}), 421, "UNKNOWN_HOST")
    assert "http_hosts" in told["detail"]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost:7780",
        "LOCALHOST",
        "a.localhost",
        "[::1]:7780",
        "10.1.2.3",
    ],
)
async def test_addresses_and_localhost_are_ours(http: httpx.AsyncClient, host: str) -> None:
    assert (await http.get("/queues", headers={"Host": host})).status_code == 200


async def test_a_name_that_the_operator_gave_is_ours(master: WiredMaster) -> None:
    async with opened(master, "Tasks.Example.com") as door, client_of(door) as http:
        own = await http.get("/queues", headers={"Host": "tasks.example.com:443"})
        assert own.status_code == 200
        other = await http.get("/queues", headers={"Host": "example.com"})
        refused(other, 421, "UNKNOWN_HOST")
    async with opened(master, "*") as door, client_of(door) as http:
        assert (await http.get("/queues", headers={"Host": "evil.example"})).status_code == 200


FOREIGN = [
    {"Origin": "http://example.com"},
    {"Origin": "null"},
    {"Origin": "http://[x"},
    {"Origin": "http://localhost:3000"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_a_foreign_page_submits_and_changes_nothing(
    master: WiredMaster, http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    refused(await http.post("/tasks", json=TASK, headers=headers), 403, "CROSS_ORIGIN")
    refused(await http.post("/queues/default/pause", headers=headers), 403, "CROSS_ORIGIN")
    assert (await http.get("/tasks")).json()["tasks"] == []
    assert (await http.get("/queues/default")).json()["queue"]["paused"] is False


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_no_answer_lets_a_foreign_page_read_it(
    http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    asked = headers | {"Access-Control-Request-Method": "POST"}
    for method in ("GET", "OPTIONS", "POST"):
        answer = await http.request(method, "/tasks", headers=asked)
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_page_of_our_own_may_submit(door: HttpDoor, http: httpx.AsyncClient) -> None:
    headers = {"Origin": door.url, "Sec-Fetch-Site": "same-origin"}
    assert (await http.post("/tasks", json=TASK, headers=headers)).status_code == 200
