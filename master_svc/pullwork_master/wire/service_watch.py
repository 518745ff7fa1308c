"""Watching services and instances: what there is, then what changes, at the reader's own pace.

No change is kept for anybody. A reader that is ready looks at what there is now; so what
changed twice meanwhile is told once, and one that reads slowly costs no more memory than another.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator
from typing import Any, Final, TypeVar

from pullwork.v1 import orchestrator_service_pb2 as pb
from pullwork.v1 import service_pb2
from pullwork_master.core.rejections import shutting_down
from pullwork_master.orchestrator.orchestrator import Orchestrator
from pullwork_master.wire import pages

# What changes within so long of a message goes into the next.
PAUSE_S: Final = 0.05
# A list of this size is sent once a second at the most.
LIST_BYTES: Final = 4 * 1024 * 1024

T = TypeVar("T")


class ServiceWatches:
    """All streams of services and instances."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Ends every stream: a server that stops would wait for them."""
        self._stopped.set()

    async def services(self) -> AsyncGenerator[pb.WatchServicesResponse, None]:
        """Yields a snapshot of all services, then changes, for ever. Errors: SHUTTING_DOWN."""
        generation = self._orchestrator.generation()
        told = {each.name: each for each in self._orchestrator.services()}
        for message in _snapshot(list(told.values())):
            yield message
        while True:
            generation = await self._or_stop(self._orchestrator.newer(generation))
            found = {each.name: each for each in self._orchestrator.services()}
            for name in told.keys() - found.keys():
                yield pb.WatchServicesResponse(deleted=told[name])
            for name, each in found.items():
                former = told.get(name)
                if each is not former and each != former:
                    yield pb.WatchServicesResponse(changed=each)
            told = found
            await self._or_stop(asyncio.sleep(PAUSE_S))

    async def instances(self, service: str) -> AsyncGenerator[pb.WatchInstancesResponse, None]:
        """Yields all instances of a service, or of all, again and again as they change.

        Errors: SERVICE_NOT_FOUND, SHUTTING_DOWN.
        """
        generation = self._orchestrator.generation(service)
        while not self._orchestrator.roster.settled:
            generation = await self._or_stop(self._orchestrator.newer(generation, service))
        while True:
            generation = self._orchestrator.generation(service)
            size = 0
            for message in _parts(generation, self._orchestrator.instances(service)):
                size += message.ByteSize()
                yield message
            await self._or_stop(asyncio.sleep(PAUSE_S + size / LIST_BYTES))
            await self._or_stop(self._orchestrator.newer(generation, service))

    async def _or_stop(self, waiting: Coroutine[Any, Any, T]) -> T:
        """Waits for something, or for the master's stop. Errors: SHUTTING_DOWN."""
        stopped = asyncio.create_task(self._stopped.wait())
        wanted = asyncio.create_task(waiting)
        try:
            await asyncio.wait({stopped, wanted}, return_when=asyncio.FIRST_COMPLETED)
            if not wanted.done():
                raise shutting_down()
            return wanted.result()
        finally:
            stopped.cancel()
            wanted.cancel()


def _snapshot(services: list[service_pb2.Service]) -> Iterator[pb.WatchServicesResponse]:
    kind = pb.WatchServicesResponse.Snapshot
    former: list[service_pb2.Service] | None = None
    for part in pages.parts(services):
        if former is not None:
            yield pb.WatchServicesResponse(snapshot=kind(services=former, more=True))
        former = part
    yield pb.WatchServicesResponse(snapshot=kind(services=former or []))


def _parts(
    generation: int, instances: list[service_pb2.Instance]
) -> Iterator[pb.WatchInstancesResponse]:
    former: list[service_pb2.Instance] | None = None
    for part in pages.parts(instances):
        if former is not None:
            yield pb.WatchInstancesResponse(generation=generation, instances=former, more=True)
        former = part
    yield pb.WatchInstancesResponse(generation=generation, instances=former or [])
