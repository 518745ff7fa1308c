"""What an instance is made of, as its ticket says; nothing here knows how it is run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

from pullwork.v1 import service_pb2 as pb

_STOP_GRACE_S: Final = 10.0
_MAIN_PORT: Final = "main"


class Way(StrEnum):
    """How it is asked whether an instance is well."""

    TCP = "tcp"
    HTTP = "http"
    COMMAND = "command"


class Port(NamedTuple):
    """A door of an instance; 0: chosen when it is made."""

    name: str
    port: int
    host_port: int


@dataclass(frozen=True, slots=True)
class Check:
    """How it is told whether an instance is well. `port` is a name; empty: the first."""

    way: Way
    port: str = ""
    path: str = "/"
    command: tuple[str, ...] = ()
    interval_s: float = 2.0
    timeout_s: float = 2.0
    failures: int = 3
    start_period_s: float = 30.0
    restart_after_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Order:
    """One instance. `payload` is the InstanceSpec as it came, for whoever keeps it."""

    task_id: str
    instance_id: str
    service: str
    version: int
    payload: bytes
    image: str = ""
    command: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    cpus: float = 0.0
    memory_bytes: int = 0
    check: Check | None = None
    stop_grace_s: float = _STOP_GRACE_S
    # From the moment that it left discovery until it is told to end.
    stop_delay_s: float = 0.0


class InvalidOrderError(Exception):
    """A ticket's payload is no instance that a node could run."""


def order_of(task_id: str, payload: bytes) -> Order:
    """Reads an InstanceSpec; raises InvalidOrderError."""
    try:
        instance = pb.InstanceSpec.FromString(payload)
    except DecodeError as error:
        raise InvalidOrderError("the payload is no InstanceSpec") from error
    spec = instance.spec
    if not instance.instance_id:
        raise InvalidOrderError("the InstanceSpec has no instance_id")
    if not spec.image and not spec.command:
        raise InvalidOrderError("there is neither an image nor a command to run")
    ports = tuple(_port(it) for it in spec.ports)
    if spec.image and any(it.port == 0 for it in ports):
        raise InvalidOrderError("a port of a container needs a number: where its program listens")
    return Order(
        task_id=task_id,
        instance_id=instance.instance_id,
        service=instance.service,
        version=instance.version,
        payload=payload,
        image=spec.image,
        command=tuple(spec.command),
        ports=ports,
        env=tuple(sorted(spec.env.items())),
        cpus=spec.resources.cpus,
        memory_bytes=spec.resources.memory_bytes,
        check=_check(spec, {it.name for it in ports}),
        stop_grace_s=_seconds(spec, "stop_grace", _STOP_GRACE_S),
        stop_delay_s=_seconds(spec, "stop_delay", 0.0),
    )


def _port(port: pb.Port) -> Port:
    name = port.name or (str(port.port) if port.port else _MAIN_PORT)
    return Port(name, port.port, port.host_port)


def _check(spec: pb.ServiceSpec, ports: set[str]) -> Check | None:
    health = spec.health
    way = health.WhichOneof("way")
    if way is None:
        return None
    port = health.tcp.port if way == "tcp" else health.http.port if way == "http" else ""
    if way != "command" and (not ports or (port and port not in ports)):
        raise InvalidOrderError(f"its health check asks at a port {port!r} that it does not have")
    if way == "command" and not health.command.command:
        raise InvalidOrderError("its health check has no command")
    plain = Check(Way(way))
    return Check(
        way=Way(way),
        port=port,
        path=health.http.path or plain.path,
        command=tuple(health.command.command),
        interval_s=_seconds(health, "interval", plain.interval_s),
        timeout_s=_seconds(health, "timeout", plain.timeout_s),
        failures=health.failures or plain.failures,
        start_period_s=_seconds(health, "start_period", plain.start_period_s),
        restart_after_s=_seconds(health, "restart_after", plain.restart_after_s),
    )


def _seconds(message: pb.ServiceSpec | pb.HealthCheck, field: str, absent: float) -> float:
    if not message.HasField(field):  # type: ignore[arg-type]
        return absent
    duration: Duration = getattr(message, field)
    return duration.ToNanoseconds() / 1e9
