"""The one place where refusals become statuses, for every call of every service."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from pullwork.errors import BY_REASON, InternalError, PullworkError
from pullwork.status import to_status
from pullwork_master.core.rejections import Rejection

log = logging.getLogger("pullwork.master")

Handler = Any  # grpc.RpcMethodHandler, which is generic for mypy alone


def public(rejection: Rejection) -> PullworkError:
    """Finds a rejection's row in the table of errors."""
    after_ms = rejection.retry_after_ms
    return BY_REASON[rejection.reason](
        rejection.message,
        field=rejection.field,
        metadata=rejection.metadata,
        retry_after_s=None if after_ms is None else after_ms / 1000,
    )


def bug(method: str) -> PullworkError:
    """Logs the bug being handled under a new id, and makes an error that names only that."""
    error_id = secrets.token_hex(6)
    log.exception("bug in a call", extra={"error_id": error_id, "method": method})
    return InternalError(
        f"a bug in the master; its log tells more under error id {error_id}",
        metadata={"error_id": error_id},
    )


class Refusals(grpc.aio.ServerInterceptor):
    """Wraps each of our handlers once; other services (health, reflection) pass untouched."""

    def __init__(self) -> None:
        self._wrapped: dict[str, Handler | None] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Returns the handler of a call, wrapped."""
        method = handler_call_details.method
        if not method.startswith(("/pullwork.", "/externalscaler.")):
            return await continuation(handler_call_details)
        if method not in self._wrapped:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            self._wrapped[method] = _wrap(handler, method)
        return self._wrapped[method]


def _wrap(handler: Any, method: str) -> Handler:
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler(
            _unary(handler.stream_unary, method),
            handler.request_deserializer,
            handler.response_serializer,
        )
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(
            _streaming(handler.unary_stream, method),
            handler.request_deserializer,
            handler.response_serializer,
        )
    return grpc.unary_unary_rpc_method_handler(
        _unary(handler.unary_unary, method),
        handler.request_deserializer,
        handler.response_serializer,
    )


def _unary(behave: Callable[..., Awaitable[Any]], method: str) -> Any:
    async def wrapped(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await behave(request, context)
        except Rejection as rejection:
            error = public(rejection)
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception:
            error = bug(method)
        return await context.abort_with_status(to_status(error))

    return wrapped


def _streaming(behave: Callable[..., AsyncIterator[Any]], method: str) -> Any:
    async def wrapped(
        request: Any, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        stream = behave(request, context)
        try:
            async for message in stream:
                yield message
            return
        except Rejection as rejection:
            error = public(rejection)
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception:
            error = bug(method)
        finally:
            # Else the inner `finally`, which tells of the break, waits for the collector.
            await stream.aclose()  # type: ignore[attr-defined]
        await context.abort_with_status(to_status(error))

    return wrapped
