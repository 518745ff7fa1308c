"""Our calls by name, for other doors than the port: the same handlers and interceptors.

The services are added to it as to a server, and it passes them on. So whatever stands before a
call on the port (the table of errors, what comes later) stands before it at every door.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import grpc.aio

Handler = Any  # grpc.RpcMethodHandler, which is generic for mypy alone
Metadata = Sequence[tuple[str, str]]


class Details(NamedTuple):
    """What an interceptor is told of a call: a `grpc.HandlerCallDetails`."""

    method: str
    invocation_metadata: Any


class Calls:
    """Stands for a server where services are added, and finds their handlers again."""

    def __init__(
        self, server: grpc.aio.Server, interceptors: Sequence[grpc.aio.ServerInterceptor]
    ) -> None:
        self._server = server
        self._interceptors = tuple(interceptors)
        self._handlers: dict[str, Handler] = {}
        self.services: list[str] = []

    def add_generic_rpc_handlers(self, handlers: Iterable[Any]) -> None:
        """Passes handlers on."""
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Passes a service's handlers on and keeps them, by `/package.Service/Method`."""
        self._server.add_registered_method_handlers(service, handlers)
        self.services.append(service)
        for name, handler in handlers.items():
            self._handlers[f"/{service}/{name}"] = handler

    async def handler(self, method: str, metadata: Metadata) -> Handler:
        """Returns the handler of a call as the port would find it, behind all interceptors."""

        async def innermost(details: grpc.HandlerCallDetails) -> Handler:
            return self._handlers[details.method]

        find: Callable[[Any], Awaitable[Handler]] = innermost
        for interceptor in reversed(self._interceptors):
            find = partial(interceptor.intercept_service, find)
        return await find(Details(method, metadata))
