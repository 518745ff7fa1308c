"""The catalogue as the roster has it: the endpoints of what runs, service by service.

Labels, and which port is the first, are those that are wanted now, also of instances of a former
version: readers of tags take two opinions on one route for a mistake, and follow neither.

What a node ran that can't be reached is told for a while, see `LINGER_MS`: a worker that is started
again finds it at work, and to take it away and bring it back would cost callers more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from pullwork.v1 import service_pb2
from pullwork_master.gateway.discovery.catalogue import Endpoint
from pullwork_master.orchestrator.generations import ALL
from pullwork_master.orchestrator.roster import Roster

_RUNS: Final = (service_pb2.INSTANCE_STATE_HEALTHY, service_pb2.INSTANCE_STATE_UNHEALTHY)


class _Part(NamedTuple):
    """An instance as it was shown, and its endpoints."""

    shown: service_pb2.Instance
    endpoints: tuple[Endpoint, ...]


class _Made(NamedTuple):
    """A service as of a generation; its parts by task."""

    generation: int
    spec: service_pb2.ServiceSpec
    parts: dict[str, _Part]
    endpoints: tuple[Endpoint, ...]


class Listing:
    """The catalogue of one master. Every method belongs to the event loop's thread."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._made: dict[str, _Made] = {}

    @property
    def settled(self) -> bool:
        """Whether the nodes have told what there is."""
        return self._roster.settled

    def generation(self, service: str = "") -> int:
        """Returns the number of the last change of a service there is, else of all."""
        return self._roster.generations.of(self._known(service))

    def endpoints(self, service: str = "") -> Sequence[Endpoint]:
        """Returns the endpoints of a service, or of all."""
        if service:
            return self._of(service)
        for gone in self._made.keys() - self._roster.services.keys():
            del self._made[gone]
        return [each for name in sorted(self._roster.services) for each in self._of(name)]

    async def changed(self, generation: int, service: str = "") -> None:
        """Waits until the generation is another one."""
        await self._roster.generations.newer(generation, self._known(service))

    def _known(self, service: str) -> str:
        return service if service in self._roster.services else ALL

    def _of(self, service: str) -> tuple[Endpoint, ...]:
        kept = self._roster.services.get(service)
        if kept is None:
            return ()
        generation = self._roster.generations.of(service)
        made = self._made.get(service)
        if made is None or made.generation != generation:
            made = self._made[service] = self._make(service, kept.spec, generation, made)
        return made.endpoints

    def _make(
        self, service: str, spec: service_pb2.ServiceSpec, generation: int, before: _Made | None
    ) -> _Made:
        """Lists a service; what is shown as before has the same endpoints as before."""
        known = before.parts if before is not None and before.spec is spec else {}
        parts: dict[str, _Part] = {}
        labels, first = dict(spec.labels), spec.ports[0].name if spec.ports else ""
        for shown in self._roster.shown_instances(service):
            if shown.state in _RUNS and self._is_there(shown):
                part = known.get(shown.task_id)
                if part is None or part.shown is not shown:
                    part = _Part(shown, tuple(_endpoints(shown, first, labels)))
                parts[shown.task_id] = part
        endpoints = tuple(each for part in parts.values() for each in part.endpoints)
        return _Made(generation, spec, parts, endpoints)

    def _is_there(self, shown: service_pb2.Instance) -> bool:
        node = self._roster.nodes.get(shown.node)
        return not shown.disconnected or (node is not None and node.lingers)


def _endpoints(
    shown: service_pb2.Instance, wanted: str, labels: Mapping[str, str]
) -> Iterator[Endpoint]:
    names = [address.name for address in shown.addresses]
    for address in shown.addresses:
        yield Endpoint(
            service=shown.service,
            instance=shown.id,
            node=shown.node,
            port_name=address.name,
            first=address.name == (wanted if wanted in names else names[0]),
            host=address.host,
            port=address.port,
            healthy=shown.state == service_pb2.INSTANCE_STATE_HEALTHY,
            reason=shown.reason,
            labels=labels,
        )
