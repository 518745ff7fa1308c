"""The master's REST face, as somebody with `curl` sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx

from fault_harness.services.judge import Told

PATIENCE_S = 5.0


class Refused(Exception):
    """The master said no: its status, its reason, and its words."""

    def __init__(self, answer: httpx.Response) -> None:
        try:
            self.told: dict[str, Any] = answer.json()
        except ValueError:
            self.told = {}
        self.status = answer.status_code
        self.reason = str(self.told.get("reason", ""))
        super().__init__(f"{answer.request.method} {answer.request.url.path}: {answer.text[:500]}")


class Rest:
    """Calls of one client; httpx.TransportError where the master does not answer."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=PATIENCE_S)

    async def close(self) -> None:
        """Closes its connections."""
        await self._http.aclose()

    async def call(self, verb: str, path: str, body: object = None) -> Any:
        """Returns the JSON of an answer; raises Refused for any but 2xx."""
        answer = await self._http.request(verb, path, json=body)
        if not answer.is_success:
            raise Refused(answer)
        return answer.json() if answer.content else {}

    async def create(self, service: str, spec: dict[str, Any]) -> None:
        """Makes a service."""
        await self.call("POST", f"/services/{service}", spec)

    async def scale(self, service: str, instances: int) -> None:
        """Says how many."""
        await self.call("POST", f"/services/{service}/scale", {"instances": instances})

    async def update(self, service: str, spec: dict[str, Any]) -> None:
        """Changes those parts of a service that `spec` names."""
        await self.call("PUT", f"/services/{service}", spec)

    async def delete(self, service: str) -> None:
        """Ends a service."""
        await self.call("DELETE", f"/services/{service}")

    async def service(self, service: str) -> dict[str, Any]:
        """Returns a service as it is now."""
        told: dict[str, Any] = (await self.call("GET", f"/services/{service}"))["service"]
        return told

    async def healthy(self) -> dict[str, int]:
        """Returns how many instances of each service are healthy."""
        services = (await self.call("GET", "/services")).get("services", [])
        return {it["name"]: it.get("healthy", 0) for it in services}

    async def nodes(self) -> list[dict[str, Any]]:
        """Returns the nodes as placement knows them."""
        nodes: list[dict[str, Any]] = (await self.call("GET", "/nodes")).get("nodes", [])
        return nodes

    async def instances(self) -> tuple[Told, ...]:
        """Returns all instances of all services."""
        answer = await self.call("GET", "/instances?page_size=1000")
        return tuple(_told(it) for it in answer.get("instances", []))

    async def discovered(self, services: Sequence[str]) -> frozenset[str] | None:
        """Returns where discovery sends callers, as host:port; None if it answers nothing yet.

        Consul's own API: what speaks Consul asks just so.
        """
        addresses = set()
        for service in services:
            answer = await self._http.get(f"/v1/health/service/{service}?passing=true")
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            if not answer.is_success:
                raise Refused(answer)
            for entry in answer.json():
                host = entry["Service"]["Address"] or entry["Node"]["Address"]
                addresses.add(f"{host}:{entry['Service']['Port']}")
        return frozenset(addresses)


def _told(it: dict[str, Any]) -> Told:
    return Told(
        id=it.get("id", ""),
        service=it["service"],
        node=it.get("node", ""),
        state=it["state"],
        disconnected=it.get("disconnected", False),
        addresses=tuple(f"{at['host']}:{at['port']}" for at in it.get("addresses", [])),
        restarts=it.get("restarts", 0),
        version=int(it.get("version", 0)),
    )
