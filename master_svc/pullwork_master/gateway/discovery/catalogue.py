"""What discovery is made of: the ports of instances that run and can be reached.

It knows no format and no HTTP. Who keeps the catalogue decides what is in it: an instance whose
node can't be reached any more, or that has not been well yet, or that is ending, is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One port of one instance."""

    service: str
    # The instance's id.
    instance: str
    node: str
    # The port's name; `first`: it is the first of its service's ports.
    port_name: str
    first: bool
    # Where it can be reached.
    host: str
    port: int
    # Whether the instance is HEALTHY; else it is UNHEALTHY, and `reason` may say why.
    healthy: bool
    reason: str = ""
    # The service's.
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Host and port as a URL has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Catalogue(Protocol):
    """All endpoints there are, and the news of them. An empty name of a service stands for all."""

    @property
    def settled(self) -> bool:
        """False: nobody knows yet what there is, since the master has just started."""

    def generation(self, service: str = "") -> int:
        """Returns a number from 1 that grows with each change, also over restarts of the master.

        The number of one service grows with its changes alone. A service that there is not has the
        number of all.
        """

    def endpoints(self, service: str = "") -> Sequence[Endpoint]:
        """Returns what there is now, by service, instance and port."""

    async def changed(self, generation: int, service: str = "") -> None:
        """Waits until the generation is another one than this."""
