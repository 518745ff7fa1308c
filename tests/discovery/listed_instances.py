"""A catalogue that a test fills: what the master's own makes of reports, as a list."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pullwork_master.gateway.discovery.catalogue import Endpoint

LABELS = {"traefik.enable": "true", "tier": "front", "canary": ""}


def instance(
    service: str, number: int, port: int = 8000, node: str = "n1", *, healthy: bool = True
) -> Endpoint:
    """Returns the first port of an instance on this machine."""
    return Endpoint(
        service=service,
        instance=f"{service}-{number}",
        node=node,
        port_name="http",
        first=True,
        host="127.0.0.1",
        port=port,
        healthy=healthy,
        labels=LABELS,
    )


def metrics_port(of: Endpoint, port: int) -> Endpoint:
    """Returns a second port of the same instance."""
    return replace(of, port_name="metrics", first=False, port=port)


class ListedInstances:
    """Endpoints by service, with a number for each change."""

    def __init__(self, first_generation: int = 7) -> None:
        self.settled = True
        self._generation = first_generation
        self._generations: dict[str, int] = {}
        self._endpoints: dict[str, tuple[Endpoint, ...]] = {}
        self._changed = asyncio.Event()

    def put(self, service: str, endpoints: Iterable[Endpoint]) -> int:
        """Says what there is of a service; returns the generation of it."""
        self._generation += 1
        self._endpoints[service] = tuple(endpoints)
        self._generations[service] = self._generation
        if not self._endpoints[service]:
            del self._endpoints[service]
            del self._generations[service]
        self._changed.set()
        self._changed = asyncio.Event()
        return self._generation

    def generation(self, service: str = "") -> int:
        """Returns the number of the last change."""
        return self._generations.get(service, self._generation)

    def endpoints(self, service: str = "") -> Sequence[Endpoint]:
        """Returns what there is."""
        if service:
            return self._endpoints.get(service, ())
        return [each for _, some in sorted(self._endpoints.items()) for each in some]

    async def changed(self, generation: int, service: str = "") -> None:
        """Waits until the generation is another one."""
        while self.generation(service) == generation:
            await self._changed.wait()
