"""The real door before a master in this process, and what a client does with its answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from wired_master import WiredMaster

from pullwork_master.gateway.discovery.catalogue import Catalogue
from pullwork_master.gateway.door import Door
from pullwork_master.wire.calls import Calls


@dataclass(frozen=True)
class HttpDoor:
    """Where it listens."""

    address: str
    door: Door

    @property
    def url(self) -> str:
        """Its address as a URL."""
        return f"http://{self.address}"


@asynccontextmanager
async def opened(
    master: WiredMaster,
    *names: str,
    calls: Calls | None = None,
    catalogue: Catalogue | None = None,
) -> AsyncIterator[HttpDoor]:
    """Opens a door for the length of a block."""
    door = Door("127.0.0.1:0")
    door.bind()
    door.start(calls or master.server.calls, [master.address], names, catalogue)
    try:
        yield HttpDoor(door.address, door)
    finally:
        await door.stop(0.2)
        door.close()


@asynccontextmanager
async def client_of(door: HttpDoor) -> AsyncIterator[httpx.AsyncClient]:
    """Opens a client, which has all the time that a busy machine may take."""
    async with httpx.AsyncClient(base_url=door.url, timeout=30, trust_env=False) as client:
        yield client


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    kind: str
    id: str
    data: Any


async def events(response: httpx.Response) -> AsyncIterator[Event]:
    """Yields the events of a stream as a browser reads them."""
    kind, id_, data = "message", "", ""
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if not line:
            if data:
                yield Event(kind, id_, json.loads(data))
            kind, data = "message", ""
        elif name == "event":
            kind = value
        elif name == "id":
            id_ = value
        elif name == "data":
            data += value


def refused(response: httpx.Response, status: int, reason: str) -> dict[str, Any]:
    """Returns the problem of an answer, which must be one and complete."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = response.json()
    assert told["status"] == status
    assert told["reason"] == reason, told
    assert told["type"] == f"urn:pullwork:error:{reason}"
    assert told["title"].endswith(".")
    assert told["detail"]
    return told
