"""Streams as server-sent events, and what becomes of a call whose client leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from http_door import Event, HttpDoor, events, refused
from wired_master import PATIENCE_S, WiredMaster, succeeded, until


async def _first(stream: Any) -> Event:
    event: Event = await asyncio.wait_for(anext(stream), PATIENCE_S)
    return event


async def test_a_watch_tells_ends_and_ends_with_the_last(
    master: WiredMaster, http: httpx.AsyncClient
) -> None:
    ids = await master.submit_many(2)
    worker = await master.worker()
    query = httpx.QueryParams([("task_ids", each) for each in ids])
    async with http.stream("GET", "/tasks/watch", params=query) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        told = events(response)
        assert (await _first(told)).data["tasks"] == []
        await master.run_all(worker, 2)
        ended: list[str] = []
        async for event in told:
            if event.kind == "end":
                break
            ended += [task["spec"]["task_id"] for task in event.data["tasks"]]
            assert event.data["tasks"][0]["result"]["json"] == 42
        assert sorted(ended) == sorted(ids)


async def test_whoever_comes_back_with_the_last_id_misses_nothing(
    master: WiredMaster, http: httpx.AsyncClient
) -> None:
    worker = await master.worker()
    async with http.stream("GET", "/tasks/watch?queue=default") as response:
        first = await _first(events(response))
    assert first.id == first.data["cursor"]
    ids = await master.submit_many(3)
    await master.run_all(worker, 3)
    back = {"Last-Event-ID": first.id}
    async with http.stream("GET", "/tasks/watch?queue=default", headers=back) as response:
        told: list[str] = []
        async for event in events(response):
            told += [task["spec"]["task_id"] for task in event.data["tasks"]]
            if len(told) == 3:
                break
    assert sorted(told) == sorted(ids)


async def test_a_refusal_that_comes_first_has_a_status(http: httpx.AsyncClient) -> None:
    back = {"Last-Event-ID": "x"}
    async with http.stream("GET", "/tasks/watch?queue=default", headers=back) as answer:
        assert answer.status_code == 400
        await answer.aread()
        assert refused(answer, 400, "INVALID_FIELD")["field"] == "cursor"


async def test_a_refusal_that_comes_later_is_the_last_event(
    master: WiredMaster, http: httpx.AsyncClient
) -> None:
    async with http.stream("GET", "/members/watch") as response:
        told = events(response)
        assert "snapshot" in (await _first(told)).data
        await master.stop()
        event = await _first(told)
        assert event.kind == "problem"
        assert event.data["reason"] == "SHUTTING_DOWN"
        assert event.data["status"] == 503
        with pytest.raises(StopAsyncIteration):
            await _first(told)


async def test_a_silent_stream_says_that_it_lives(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pullwork_master.gateway.events.EVENT_PAUSE_S", 0.05)
    async with http.stream("GET", "/tasks/watch?owner=nobody") as response:
        lines = response.aiter_lines()
        while await asyncio.wait_for(anext(lines), PATIENCE_S) != ": still here":
            pass


async def test_a_stream_whose_reader_left_leaves_nothing_behind(
    master: WiredMaster, http: httpx.AsyncClient
) -> None:
    for path in ("/tasks/watch?queue=default", "/members/watch"):
        async with http.stream("GET", path) as response:
            await _first(events(response))
            assert master.watchers() or master.registry_readers()
        await until(
            lambda: not master.watchers() and not master.registry_readers(), "nobody watches"
        )


async def test_a_run_whose_client_left_leaves_nobody_waiting_and_the_task_goes_on(
    master: WiredMaster, door: HttpDoor
) -> None:
    async with httpx.AsyncClient(base_url=door.url, trust_env=False) as leaving:
        with pytest.raises(httpx.ReadTimeout):
            await leaving.post("/tasks/run", json={"type": "t"}, timeout=0.5)
    await until(lambda: not master.watchers(), "nobody waits")
    worker = await master.worker()
    (ticket,) = await worker.request()
    await worker.report(succeeded(ticket))
    assert (await master.get(ticket.task_id)).state == 4


async def test_head_of_a_stream_starts_no_stream_that_stays(
    master: WiredMaster, http: httpx.AsyncClient
) -> None:
    assert (await http.head("/tasks/watch?queue=default")).status_code == 200
    assert master.watchers() == []


async def test_a_run_that_waits_hears_that_the_master_stops(
    master: WiredMaster, http: httpx.AsyncClient
) -> None:
    running = asyncio.create_task(http.post("/tasks/run", json={"type": "t"}))
    await until(master.watchers, "the run waits")
    await master.stop()
    refused(await running, 503, "SHUTTING_DOWN")
