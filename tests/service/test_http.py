"""The door over HTTP of a real master: closed unless asked for, and closed in order."""

from __future__ import annotations

import re
import subprocess
import sys

import httpx
import pytest
from cluster import Cluster, Process, until
from jobs import square

from pullwork import Client

SERVES = re.compile(r'"master serves HTTP", "address": "([^"]+)"')


async def _url(master: Process) -> str:
    found = await until(lambda: SERVES.search(master.said()), "the master serves HTTP")
    assert found is not None
    return f"http://{found[1]}"


async def test_a_task_submitted_by_http_is_done_by_a_worker(cluster: Cluster) -> None:
    master = await cluster.master("--http-listen", "127.0.0.1:0")
    cluster.worker("worker")
    async with httpx.AsyncClient(base_url=await _url(master), timeout=60) as http:
        body = {"type": square.type, "args": {"number": 12}}
        answer = await http.post("/tasks/run", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["task"]["result"]["json"] == 144


async def test_the_door_is_closed_unless_it_is_asked_for(cluster: Cluster) -> None:
    master = await cluster.master()
    assert SERVES.search(master.said()) is None


def test_a_master_without_the_door_does_not_load_it() -> None:
    code = (
        "import sys, pullwork_master.main;"
        "print([it for it in ('uvicorn', 'starlette', 'pullwork_master.gateway.app')"
        " if it in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


async def test_a_master_that_stops_ends_its_streams_and_gives_the_port_back(
    cluster: Cluster,
) -> None:
    master = await cluster.master("--http-listen", "127.0.0.1:0")
    url = await _url(master)
    async with (
        httpx.AsyncClient(base_url=url, timeout=60) as http,
        http.stream("GET", "/members/watch") as stream,
    ):
        lines = stream.aiter_lines()
        assert (await anext(lines)).startswith("data: ")
        master.terminate()
        told = [line async for line in lines]
        assert "event: problem" in told
    assert await master.ended() == 0
    assert "Traceback" not in master.said()
    address = url.removeprefix("http://")
    again = await cluster.master("--http-listen", address, name="again")
    assert await _url(again) == url


async def test_a_taken_port_is_refused_with_a_remedy(cluster: Cluster) -> None:
    first = await cluster.master()
    second = cluster.started_master(
        "--http-listen",
        cluster.address,
        name="second",
        listen="127.0.0.1:0",
        data=cluster.folder / "other",
    )
    assert await second.ended() != 0
    assert cluster.address in second.said()
    assert "--http-listen" in second.said()
    assert "Traceback" not in second.said()
    assert first.running


@pytest.mark.parametrize(("listen", "warnings"), [("127.0.0.1:0", 0), ("0.0.0.0:0", 1)])
async def test_a_door_beyond_loopback_is_loud(cluster: Cluster, listen: str, warnings: int) -> None:
    master = await cluster.master("--http-listen", listen)
    await _url(master)
    assert master.said().count("OPEN TO THE NETWORK") == warnings


async def test_both_doors_show_the_same_master(cluster: Cluster) -> None:
    master = await cluster.master("--http-listen", "127.0.0.1:0")
    async with (
        Client(cluster.address) as client,
        httpx.AsyncClient(base_url=await _url(master), timeout=60) as http,
    ):
        handle = await client.submit(square.with_args(3))
        shown = (await http.get(f"/tasks/{handle.id}")).json()["task"]
        assert shown["spec"]["args"] == {"number": 3}
        (member,) = (await http.get("/members")).json()["members"]
        assert member["address"] == cluster.address
