"""Many readers, large answers and slow readers cost the master no more than they must."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from http_door import HttpDoor
from listed_instances import ListedInstances, instance

from pullwork_master.gateway.discovery import consul, written
from pullwork_master.gateway.discovery.written import Written

WEB = "/v1/health/service/web"


async def test_what_many_ask_for_is_written_once(
    listed: ListedInstances, http: httpx.AsyncClient
) -> None:
    made: list[int] = []
    health_service = consul.health_service

    def counted(endpoints: Any, index: int, **more: Any) -> Any:
        made.append(index)
        return health_service(endpoints, index, **more)

    few = [instance("web", number) for number in range(written.INLINE_MAX)]
    many = [instance("web", number) for number in range(written.INLINE_MAX * 5)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(consul, "health_service", counted)
        for endpoints in (few, many):
            before = listed.put("web", [])
            waiting = [asyncio.create_task(http.get(f"{WEB}?index={before}")) for _ in range(20)]
            await asyncio.wait(waiting, timeout=0.5)
            index = listed.put("web", endpoints)
            found = [len((await each).json()) for each in waiting]
            assert found == [len(endpoints)] * 20
            assert made.count(index) == 1


async def test_an_answer_of_any_size_arrives_whole(
    listed: ListedInstances, http: httpx.AsyncClient
) -> None:
    for number in (0, 1, 70, 2_000):
        listed.put("web", [instance("web", each) for each in range(number)])
        answer = await http.get(WEB)
        assert [it["Service"]["ID"] for it in answer.json()] == [
            f"web-{each}" for each in range(number)
        ]


async def test_who_reads_slowly_keeps_nobody(
    listed: ListedInstances, door: HttpDoor, http: httpx.AsyncClient
) -> None:
    listed.put("web", [instance("web", each) for each in range(5_000)])
    host, _, port = door.address.rpartition(":")
    slow = []
    for _ in range(20):
        _, writer = await asyncio.open_connection(host, int(port), limit=1)
        writer.write(f"GET {WEB} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        slow.append(writer)
    for _ in range(5):
        assert (await http.get("/v1/catalog/services")).status_code == 200
    for writer in slow:
        writer.close()


async def test_what_is_kept_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written, "KEPT_BYTES_MAX", 1_000)
    with ThreadPoolExecutor(1) as thread:
        documents = Written(thread)
        for number in range(100):
            text = "x" * 300
            found = await documents.get(number, 1, tuple, lambda _, text=text: text)
            assert json.loads(found) == text
        kept = documents._kept.values()
        assert sum(len(each.document) for each in kept) == documents._bytes <= 1_000
        # What is larger than all that may be kept is not kept.
        await documents.get("large", 1, tuple, lambda _: "x" * 2_000)
        assert (len(documents._kept), documents._bytes) == (0, 0)


async def test_whoever_leaves_ends_no_document_for_others() -> None:
    endpoints = [instance("web", each) for each in range(written.INLINE_MAX + 1)]
    with ThreadPoolExecutor(1) as thread:
        documents = Written(thread)
        asked = [
            asyncio.create_task(documents.get("k", 1, lambda: endpoints, lambda _: [1]))
            for _ in range(2)
        ]
        await asyncio.wait(asked, timeout=0)
        asked[0].cancel()
        assert await asked[1] == b"[1]"
