"""`health`: asks a master or a worker by `grpc.health.v1` whether it is well."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Final

import typer

from pullwork.cli.exits import ExitCode
from pullwork.cli.options import Address, Config

# Where a service listens that was told to listen everywhere, seen from its own machine.
_HERE: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}


class Role(enum.StrEnum):
    """Whose own settings say where it listens."""

    master = "master"
    worker = "worker"


def health(
    of: Annotated[
        Role | None,
        typer.Argument(
            metavar="[master|worker]",
            help="The one that these settings start on this machine, not the one at --address.",
            show_default=False,
        ),
    ] = None,
    *,
    service: Annotated[
        str | None,
        typer.Option(
            help="A part of it by its full name; a worker has 'connected'.",
            show_default="the whole; of a worker 'connected'",
        ),
    ] = None,
    address: Address = None,
    config: Config = None,
) -> None:
    """Ask a master or a worker whether it is well; exits with 0 if so, else with 1.

    For the health checks of containers: `pullwork health master` in a master's, `pullwork health
    worker` in a worker's, which is well while its master answers.
    """
    from pullwork.cli.group import say
    from pullwork.settings import ClientSettings, load

    settings = load(ClientSettings, {"address": address}, config)
    where = settings.address if of is None else _own_address(of, config)
    asked = service if service is not None else "connected" if of is Role.worker else ""
    who = f"the {of or 'master'} at {where}" + f", service {asked}" * bool(asked)
    fault = _check(where, asked, settings.timeout)
    if fault:
        say(f"{who}: {fault}")
        raise typer.Exit(ExitCode.FAILED)
    print(f"{who}: SERVING")


def _own_address(of: Role, config: Path | None) -> str:
    """Returns where a service listens by its own settings, seen from this machine."""
    from pullwork.errors import SettingsError
    from pullwork.settings import Known, load

    section = Known().get(of.value)
    if section is None:
        raise SettingsError(f"no {of} is installed here; ask the one at an --address")
    settings = load(section, config_file=config)
    listen: str | None = getattr(settings, "listen" if of is Role.master else "health_listen")
    if listen is None:
        raise SettingsError(
            "the worker answers no health checks; set PULLWORK_WORKER_HEALTH_LISTEN, "
            "e.g. to 127.0.0.1:7734"
        )
    host, _, port = listen.rpartition(":")
    return f"{_HERE.get(host, host)}:{port}"


def _check(address: str, service: str, timeout_s: float) -> str:
    """Asks once; returns what is wrong, or nothing."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            status = stub.Check(request, timeout=timeout_s).status
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return f"no answer within {timeout_s:g} s"
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return error.details() or f"there is no service {service!r}"
            return f"it can't be reached ({error.details()})"
    if status == health_pb2.HealthCheckResponse.SERVING:
        return ""
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(status))
