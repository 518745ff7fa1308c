"""Services over HTTP: in short words, with the answers HTTP has for what is made or missing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from http_door import events, refused
from node_by_hand import create, get, running
from wired_master import PATIENCE_S, WiredMaster

from pullwork.v1 import orchestrator_service_pb2 as o
from pullwork_master.gateway import bounds

WEB = {"image": "nginx", "ports": [80], "instances": 3}


async def test_what_is_made_is_told_as_made_and_where(
    master: WiredMaster, http: httpx.AsyncClient
) -> None:
    answer = await http.post("/services/web", json=WEB)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/services/web"
    made = answer.json()["service"]
    assert made["spec"]["ports"] == [{"name": "80", "port": 80, "host_port": 0}]
    assert (await http.get(answer.headers["location"])).json()["service"] == made
    assert (await get(master)).spec.instances == 3


async def test_what_is_only_tried_is_not_told_as_made(http: httpx.AsyncClient) -> None:
    answer = await http.post("/services/web?dry_run=true", json=WEB)
    assert answer.status_code == 200
    assert answer.json()["service"]["spec"]["instances"] == 3
    assert (await http.get("/services")).json()["services"] == []


@pytest.mark.parametrize("path", ["/services/web", "/service/web"])
async def test_a_service_is_made_scaled_changed_and_deleted(
    http: httpx.AsyncClient, path: str
) -> None:
    assert (await http.post(path, json=WEB)).status_code == 201
    refused(await http.post(path, json=WEB), 409, "SERVICE_EXISTS")
    scaled = await http.put(path, json={"instances": 0})
    assert scaled.status_code == 200
    assert scaled.json()["service"]["spec"]["instances"] == 0
    assert (scaled.json()["changed"], scaled.json()["replaces_instances"]) == (True, False)
    assert (await http.put(path, json={"instances": 0})).json()["changed"] is False
    posted = await http.post(f"{path}/scale", json={"instances": 2})
    assert posted.json()["service"]["spec"]["instances"] == 2
    changed = await http.put(f"{path}?dry_run=true", json={"image": "nginx:2"})
    assert changed.json()["replaces_instances"] is True
    revision = posted.json()["service"]["revision"]
    assert (await http.get(path)).json()["service"]["revision"] == revision
    late = await http.put(f"{path}?expected_revision=1", json={"instances": 9})
    refused(late, 409, "REVISION_CONFLICT")
    assert (await http.get(f"{path}/instances")).json()["instances"] == []
    deleted = await http.delete(path)
    assert deleted.status_code == 200
    assert deleted.json()["service"]["name"] == "web"
    for gone in (
        await http.get(path),
        await http.put(path, json={"instances": 1}),
        await http.delete(path),
        await http.post(f"{path}/scale", json={"instances": 1}),
        await http.get(f"{path}/instances"),
        await http.get(f"{path}/instances/watch"),
        await http.get(f"{path}/logs"),
    ):
        refused(gone, 404, "SERVICE_NOT_FOUND")
    assert (await http.get("/services")).json()["services"] == []


PORTS: list[tuple[Any, dict[str, Any]]] = [
    (80, {"name": "80", "port": 80, "host_port": 0}),
    ("80", {"name": "80", "port": 80, "host_port": 0}),
    ("http=80", {"name": "http", "port": 80, "host_port": 0}),
    ("8080:80", {"name": "80", "port": 80, "host_port": 8080}),
    ("http=8080:80", {"name": "http", "port": 80, "host_port": 8080}),
    ({"port": 80}, {"name": "80", "port": 80, "host_port": 0}),
]


@pytest.mark.parametrize(("short", "meant"), PORTS, ids=str)
async def test_a_port_is_written_short(
    http: httpx.AsyncClient, short: Any, meant: dict[str, Any]
) -> None:
    answer = await http.post("/services/web", json={"image": "nginx", "ports": [short]})
    assert answer.json()["service"]["spec"]["ports"] == [meant]


async def test_the_free_port_of_a_process_is_written_by_its_name(http: httpx.AsyncClient) -> None:
    answer = await http.post("/services/web", json={"command": ["serve"], "ports": ["http"]})
    assert answer.json()["service"]["spec"]["ports"] == [
        {"name": "http", "port": 0, "host_port": 0}
    ]


# A body for POST /services/web, the field that is named, and a word of the remedy.
BODIES: list[tuple[Any, str, str]] = [
    ([], "spec", "an object"),
    ({}, "spec.image", "command"),
    (WEB | {"instances": -1}, "spec.instances", "from 0 to 10000"),
    (WEB | {"instances": 10_001}, "spec.instances", "from 0 to 10000"),
    (WEB | {"instances": 2**40}, "spec.instances", "32 bits"),
    (WEB | {"instances": "many"}, "spec.instances", "a whole number"),
    (WEB | {"image": "a b"}, "spec.image", "nginx"),
    (WEB | {"imagee": "x"}, "spec.imagee", "did you mean image"),
    (WEB | {"ports": 80}, "spec.ports", "a list"),
    (WEB | {"ports": [True]}, "spec.ports[0]", "http=80"),
    (WEB | {"ports": [80.5]}, "spec.ports[0]", "http=80"),
    (WEB | {"ports": [None]}, "spec.ports[0]", "http=80"),
    (WEB | {"ports": ["a=b=80"]}, "spec.ports[0]", "8080:80"),
    (WEB | {"ports": ["80/tcp"]}, "spec.ports[0]", "8080:80"),
    (WEB | {"ports": ["http"]}, "spec.ports[0].port", "required"),
    (WEB | {"ports": [80, "8080:80"]}, "spec.ports[1].port", "ports[0]"),
    (WEB | {"ports": [0]}, "spec.ports[0].port", "required"),
    (WEB | {"ports": [-1]}, "spec.ports[0].port", "65535"),
    (WEB | {"ports": [70_000]}, "spec.ports[0].port", "65535"),
    (WEB | {"ports": [10**12]}, "spec.ports[0].port", "32 bits"),
    (WEB | {"ports": ["Web=80"]}, "spec.ports[0].name", "a-z"),
    (WEB | {"ports": [{"prot": 80}]}, "spec.ports[0].prot", "did you mean port"),
    (WEB | {"env": {"A": 1}}, "spec.env", "an object"),
    (WEB | {"health": {"tcp": {}, "http": {}}}, "spec.health.http", "one of them"),
    (WEB | {"health": {"tcp": {"port": "x"}}}, "spec.health.tcp.port", "there are 80"),
    (WEB | {"stop_grace": 5}, "spec.stop_grace", '"1.5s"'),
]


@pytest.mark.parametrize(("body", "field", "remedy"), BODIES, ids=lambda it: repr(it)[:60])
async def test_a_bad_field_of_a_service_is_named(
    http: httpx.AsyncClient, body: Any, field: str, remedy: str
) -> None:
    told = refused(await http.post("/services/web", json=body), 400, "INVALID_FIELD")
    assert told["field"] == field
    assert told["detail"].startswith(field)
    assert remedy in told["detail"]
    assert (await http.get("/services")).json()["services"] == []


async def test_what_is_no_request_is_refused_and_makes_nothing(http: httpx.AsyncClient) -> None:
    as_json = {"Content-Type": "application/json"}
    bodies = [b"{", b"image=nginx", b"\xff", b'{"image": "a", "image": "b"}']
    for body in bodies:
        refused(await http.post("/services/web", content=body, headers=as_json), 400, "NOT_JSON")
    assert refused(await http.post("/services/web"), 400, "INVALID_FIELD")["field"] == "spec"
    large = json.dumps({"image": "x" * bounds.BODY_BYTES_MAX}).encode()
    answer = await http.post("/services/web", content=large, headers=as_json)
    refused(answer, 413, "BODY_TOO_LARGE")
    for verb, path in (("PATCH", "/services/web"), ("POST", "/services"), ("PUT", "/nodes")):
        refused(await http.request(verb, path, json={}), 405, "METHOD_NOT_ALLOWED")
    named = await http.post("/services/Web", json=WEB)
    assert refused(named, 400, "INVALID_FIELD")["field"] == "name"
    # This path is that of the stream, not of a service.
    refused(await http.post("/services/watch", json=WEB), 405, "METHOD_NOT_ALLOWED")
    assert (await http.get("/services")).json()["services"] == []


async def test_what_there_is_is_the_same_at_both_doors(
    master: WiredMaster, http: httpx.AsyncClient
) -> None:
    await running(master, 2)
    told = (await http.get("/services/web/instances?states=INSTANCE_STATE_HEALTHY")).json()
    assert [each["id"] for each in told["instances"]] == ["web-1", "web-2"]
    assert told["instances"][0]["addresses"] == [
        {"name": "main", "host": "10.0.0.1", "port": 20_000}
    ]
    assert (await http.get("/instances")).json()["instances"] == told["instances"]
    assert [each["name"] for each in (await http.get("/nodes")).json()["nodes"]] == ["n1"]
    listed = await master.services.ListServices(o.ListServicesRequest())
    assert [each["name"] for each in (await http.get("/services")).json()["services"]] == [
        each.name for each in listed.services
    ]


async def test_logs_come_as_events_and_end_with_their_reader(
    master: WiredMaster, http: httpx.AsyncClient
) -> None:
    node = await running(master)
    async with http.stream("GET", "/services/web/logs?follow=true&tail_lines=5") as response:
        wanted = await node.wanted_log()
        assert (wanted.tail_lines, wanted.follow) == (5, True)
        answer = node.send_logs(wanted.log_id, ["a", "b"], hold=asyncio.Event())
        assert response.headers["content-type"].startswith("text/event-stream")
        event = await asyncio.wait_for(anext(events(response)), PATIENCE_S)
        assert event.data["instance"] == "web-1"
        assert [line["text"] for line in event.data["lines"]] == ["a", "b"]
    await asyncio.wait_for(answer, PATIENCE_S)


async def test_logs_that_are_not_followed_end(master: WiredMaster, http: httpx.AsyncClient) -> None:
    node = await running(master)

    async def answer() -> None:
        wanted = await node.wanted_log()
        await node.send_logs(wanted.log_id, ["a"])

    answering = asyncio.create_task(answer())
    async with http.stream("GET", "/service/web/logs?instance=web-1") as response:
        told = [event async for event in events(response)]
    await answering
    assert [event.kind for event in told] == ["message", "end"]


async def test_watches_come_as_events(master: WiredMaster, http: httpx.AsyncClient) -> None:
    await create(master)
    for path in ("/services/watch", "/services/web/instances/watch", "/instances/watch"):
        async with http.stream("GET", path) as response:
            event = await asyncio.wait_for(anext(events(response)), PATIENCE_S)
            assert event.kind == "message"
