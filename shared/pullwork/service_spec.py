"""What somebody wants to be kept running, as Python says it."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pullwork.packing import pack, unpack
from pullwork.v1 import service_pb2 as pb


class UpdateFailureAction(enum.StrEnum):
    """What follows when an update failed."""

    UNSPECIFIED = "UNSPECIFIED"  # the default, RETURN
    RETURN = "RETURN"
    PAUSE = "PAUSE"
    UNKNOWN = "UNKNOWN"  # a newer master knows more than this client


@dataclass(frozen=True, slots=True)
class Port:
    """A door of each instance; `name` is for people and discovery.

    `port` is where the program listens; 0, for a process: a free one, which it is told as PORT
    and PORT_<NAME>. `host_port` is the port of the node under which it is published; 0: a free
    one.
    """

    name: str = ""
    port: int = 0
    host_port: int = 0


@dataclass(frozen=True, slots=True)
class Resources:
    """What one instance may take: cores, and bytes of memory; 0: no bound."""

    cpus: float = 0.0
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class TcpCheck:
    """Asks by a connection; the port's name empty: the first."""

    port: str = ""


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """Asks by a GET, which is to be answered with 200 to 399."""

    path: str = ""
    port: str = ""


@dataclass(frozen=True, slots=True)
class CommandCheck:
    """Asks by a program inside the instance, which is to end with 0."""

    command: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Tells whether an instance is well, in exactly one way; spans are in seconds.

    `failures` in a row make it UNHEALTHY, not counted before `start_period` is over; one that
    stays so for `restart_after` is started again. None and 0 are the defaults of the contract.
    """

    tcp: TcpCheck | None = None
    http: HttpCheck | None = None
    command: CommandCheck | None = None
    interval: float | None = None
    timeout: float | None = None
    failures: int = 0
    start_period: float | None = None
    restart_after: float | None = None


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How soon an instance that ended starts again, in seconds."""

    initial_backoff: float | None = None
    max_backoff: float | None = None
    reset_after: float | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """Chooses nodes by labels of their workers, and says how instances are spread."""

    constraints: Mapping[str, str] | None = None
    spread_by: str = ""
    max_per_node: int = 0


@dataclass(frozen=True, slots=True)
class DisconnectPolicy:
    """When the instances of a node that can't be reached are replaced; `wait`: never."""

    replace_after: float | None = None
    wait: bool = False


@dataclass(frozen=True, slots=True)
class UpdatePolicy:
    """How a change reaches the instances; spans are in seconds."""

    max_surge: int | None = None
    max_unavailable: int | None = None
    healthy_for: float | None = None
    deadline: float | None = None
    on_failure: UpdateFailureAction = UpdateFailureAction.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """N instances of a program: containers of an `image`, or processes of a `command`.

    What is None takes its default when a service is made, and stays as it is when one is updated.
    """

    instances: int | None = None
    image: str | None = None
    command: Sequence[str] | None = None
    ports: Sequence[Port] | None = None
    env: Mapping[str, str] | None = None
    resources: Resources | None = None
    health: HealthCheck | None = None
    restart: RestartPolicy | None = None
    placement: Placement | None = None
    disconnect: DisconnectPolicy | None = None
    update: UpdatePolicy | None = None
    stop_grace: float | None = None
    labels: Mapping[str, str] | None = None
    stop_delay: float | None = None

    @classmethod
    def from_proto(cls, spec: pb.ServiceSpec) -> ServiceSpec:
        """Reads what the master told."""
        return unpack(spec, cls, CLASSES)

    def to_proto(self) -> pb.ServiceSpec:
        """Packs it for the master; raises InvalidFieldError for what can't be packed."""
        return pack(self, pb.ServiceSpec(), "spec.")


# By the names of the contract.
CLASSES: Final[Mapping[str, type]] = {
    "Port": Port,
    "Resources": Resources,
    "Tcp": TcpCheck,
    "Http": HttpCheck,
    "Command": CommandCheck,
    "HealthCheck": HealthCheck,
    "RestartPolicy": RestartPolicy,
    "Placement": Placement,
    "DisconnectPolicy": DisconnectPolicy,
    "UpdatePolicy": UpdatePolicy,
    "UpdateFailureAction": UpdateFailureAction,
    "ServiceSpec": ServiceSpec,
}
