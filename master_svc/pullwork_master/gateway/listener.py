"""The HTTP server: uvicorn, inside the master's loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable, Iterator
from math import ceil
from typing import Final

import uvicorn

from pullwork_master.gateway.app import Gateway
from pullwork_master.gateway.bounds import CONNECTIONS_MAX, HEAD_BYTES_MAX, KEEP_ALIVE_S
from pullwork_master.gateway.discovery.catalogue import Catalogue
from pullwork_master.wire.calls import Calls
from pullwork_master.wire.server import ListenError

BACKLOG: Final = 128


class _Server(uvicorn.Server):
    """Leaves the signals to the master."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


class Listener:
    """A master's HTTP face. `bind`, then `start`, then `stop`."""

    def __init__(self) -> None:
        self._socket: socket.socket
        self._server: _Server
        self._gateway: Gateway
        self._serving: asyncio.Task[None]

    def bind(self, listen: str) -> int:
        """Takes the port and returns its number. Errors: ListenError."""
        host, _, port = listen.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, int(port)), family=family, backlog=BACKLOG)
        except OSError as error:
            raise ListenError(
                f"can't listen on {listen} for HTTP: {error}; choose another address with "
                "--http-listen"
            ) from error
        number: int = self._socket.getsockname()[1]
        return number

    def start(
        self, calls: Calls, known_hosts: Iterable[str], catalogue: Catalogue | None, address: str
    ) -> None:
        """Serves the calls of a server that has started, and its catalogue, if it has one."""
        self._gateway = Gateway(calls, known_hosts, catalogue, address)
        config = uvicorn.Config(
            self._gateway,
            loop="none",
            http="h11",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            # It warns of each line that is not HTTP, which anybody may send.
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=KEEP_ALIVE_S,
            h11_max_incomplete_event_size=HEAD_BYTES_MAX,
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="http")

    async def stop(self, grace_s: float) -> None:
        """Takes no more requests, lets those under way end for a while, and closes."""
        self._server.config.timeout_graceful_shutdown = ceil(grace_s)
        self._server.should_exit = True
        self._gateway.end_waits()
        await self._serving
        self._gateway.close()

    def close(self) -> None:
        """Gives the port back; safe to repeat."""
        self._socket.close()
