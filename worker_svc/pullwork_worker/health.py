"""Answers health checks of a worker by `grpc.health.v1`, for those that start and stop it.

A worker listens nowhere unless a setting says so. Nobody can do anything here but ask.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pullwork.channel import server_options
from pullwork.errors import SettingsError
from pullwork.listening import refusal

log = logging.getLogger("pullwork.worker")

# What may be asked for. Liveness must not hang on the master: who restarts a worker because its
# master is away throws away what it runs.
ALIVE: Final = ""
CONNECTED: Final = "connected"

Context = grpc.aio.ServicerContext[Any, Any]
Answer = Any  # health_pb2.HealthCheckResponse; its package has no types


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # untyped, so Any
    """Says that the worker's loop turns, and whether its master answers."""

    def __init__(self, connected: Callable[[], bool]) -> None:
        self._connected = connected

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> Answer:
        """Answers at once."""
        if request.service == ALIVE:
            return _answer(well=True)
        if request.service == CONNECTED:
            return _answer(well=self._connected())
        return await context.abort(
            grpc.StatusCode.NOT_FOUND,
            f"no service {request.service!r}; a worker has '' (its process) and 'connected' "
            "(its master answers)",
        )

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[Answer]:
        """Is not offered: it would keep streams open for what one call tells."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "call Check")
        yield _answer(well=False)


def _answer(*, well: bool) -> Answer:
    kind = health_pb2.HealthCheckResponse
    return kind(status=kind.SERVING if well else kind.NOT_SERVING)


@asynccontextmanager
async def answering_health(
    listen: str | None, connected: Callable[[], bool]
) -> AsyncIterator[str | None]:
    """Serves health checks for a while, and gives the address; does nothing if not told where.

    Raises SettingsError if the address can't be had.
    """
    if listen is None:
        yield None
        return
    server = grpc.aio.server(options=server_options())
    health_pb2_grpc.add_HealthServicer_to_server(Health(connected), server)
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError as error:
        raise SettingsError(
            f"worker.health_listen: {refusal(listen, by='worker', flag='--health-listen')}, or none"
        ) from error
    await server.start()
    address = f"{listen.rpartition(':')[0]}:{port}"
    _tell(address)
    try:
        yield address
    finally:
        await server.stop(None)


def _tell(address: str) -> None:
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback):
        log.info("health checks are answered", extra={"address": address})
    else:
        log.warning(
            "OPEN TO THE NETWORK: whoever reaches this port may ask whether this worker is "
            "alive and connected; it does nothing else",
            extra={"address": address},
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
