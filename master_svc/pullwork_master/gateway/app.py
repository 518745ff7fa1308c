"""The ASGI application: a request in, its call made, the answer out.

It knows no call by name: what there is stands in the annotations of the contract, and what a call
does, checks and refuses is the servicers' business, who do not know that they are asked over HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.resources import files
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pullwork.errors import PullworkError
from pullwork_master.gateway import body, events, problems, reading, showing
from pullwork_master.gateway.bounds import INLINE_BYTES_MAX
from pullwork_master.gateway.browsers import Browsers
from pullwork_master.gateway.context import Aborted, HttpContext
from pullwork_master.gateway.discovery.catalogue import Catalogue
from pullwork_master.gateway.discovery.desk import Desk, GoneError
from pullwork_master.gateway.refusals import CallError, MethodNotAllowedError, refuse_field
from pullwork_master.gateway.routes import Route, Routes
from pullwork_master.wire.calls import Calls
from pullwork_master.wire.refusals import bug

T = TypeVar("T")

DESCRIPTION_PATH: Final = "/openapi.json"
CREATED: Final = 201
LAST_EVENT_ID: Final = "last-event-id"
WHOLE: Final = "*"
# No answer is for other origins, for a cache, or for a browser's guess at its kind.
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Gateway:
    """The calls of a master over HTTP."""

    def __init__(
        self,
        calls: Calls,
        known_hosts: Iterable[str],
        catalogue: Catalogue | None = None,
        address: str = "",
    ) -> None:
        self._calls = calls
        self._browsers = Browsers(known_hosts)
        self._routes = Routes(calls.services)
        self._description = files(__package__).joinpath("openapi.json").read_bytes()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="http")
        self._desk = None if catalogue is None else Desk(catalogue, address, self._thread)

    def end_waits(self) -> None:
        """Answers those who wait for a change: there will be none."""
        if self._desk is not None:
            self._desk.parking.end()

    def close(self) -> None:
        """Releases what it holds."""
        self._thread.shutdown()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        assert scope["type"] == "http"
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except PullworkError as error:
            answer = problems.response(error)
        except CallError as refused:
            answer = problems.response(refused.error, refused.code)
        except GoneError:
            return
        except Exception:
            answer = problems.response(bug(f"{request.method} {request.url.path}"))
        answer.headers.update(HEADERS)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        self._browsers.check(request.method, request.headers)
        raw_path = request.scope["raw_path"].decode("latin-1")
        if raw_path == DESCRIPTION_PATH:
            return self._describe(request)
        if self._desk is not None and self._desk.takes(raw_path):
            return await self._desk.answer(request, raw_path)
        route, variables = self._routes.find(request.method, raw_path)
        asked = await self._read(request, route, variables)
        metadata = request.headers.items()
        handler = await self._calls.handler(route.call, metadata)
        peer = f"ipv4:{request.client.host}:{request.client.port}" if request.client else "unknown"
        context = HttpContext(metadata, peer)
        if route.method.server_streaming:
            messages = handler.unary_stream(asked, context)
            stream = events.EventStream(messages, headers_only=request.method == "HEAD")
            await stream.begin()
            return stream
        message = await _unless_gone(handler.unary_unary(asked, context), request)
        told = await self._off_loop(
            lambda: showing.written(message), message.ByteSize() > INLINE_BYTES_MAX
        )
        if route.makes and not getattr(asked, "dry_run", False):
            return Response(told, CREATED, {"Location": raw_path}, "application/json")
        return Response(told, media_type="application/json")

    def _describe(self, request: Request) -> Response:
        if request.method not in {"GET", "HEAD"}:
            raise MethodNotAllowedError(
                f"{request.method} is not taken here; allowed: GET, HEAD",
                headers={"Allow": "GET, HEAD"},
            )
        return Response(self._description, media_type="application/json")

    async def _read(self, request: Request, route: Route, variables: dict[str, str]) -> Message:
        """Makes the call's request. Errors: PullworkError."""
        raw = await body.read(request, taken=bool(route.body))
        query = _query(request)
        return await self._off_loop(
            lambda: _request(route, variables, raw, query, request.headers.get(LAST_EVENT_ID, "")),
            len(raw) > INLINE_BYTES_MAX,
        )

    async def _off_loop(self, work: Callable[[], T], is_long: bool) -> T:
        """Does long work in a thread, so that the master's loop goes on."""
        if is_long:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        return work()


def _query(request: Request) -> list[tuple[str, str]]:
    try:
        text = request.scope["query_string"].decode("ascii")
        return parse_qsl(text, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise refuse_field("query", "is not UTF-8") from None


def _request(
    route: Route,
    variables: dict[str, str],
    raw: bytes,
    query: list[tuple[str, str]],
    last_event_id: str,
) -> Message:
    message: Any = GetMessageClass(route.request)()
    if route.body == WHOLE and query:
        raise refuse_field(query[0][0][:80], "is no query parameter here; put it into the body")
    if raw:
        value = reading.parse(raw)
        if route.body == WHOLE:
            reading.fill(message, value, elsewhere=variables)
        else:
            getattr(message, route.body).SetInParent()
            reading.fill(getattr(message, route.body), value, f"{route.body}.")
    if query:
        elsewhere = {*variables, route.body}
        reading.fill(message, reading.nested(query, route.request, elsewhere), elsewhere=elsewhere)
    for name, value in variables.items():
        setattr(message, name, value)
    if last_event_id and events.CURSOR in route.request.fields_by_name and not message.cursor:
        message.cursor = last_event_id
    return message  # type: ignore[no-any-return]


async def _unless_gone(answer: Any, request: Request) -> Message:
    """Awaits a handler, and cancels it if the client leaves before; as gRPC does."""
    working = asyncio.ensure_future(answer)
    gone = asyncio.create_task(events.until_gone(request.receive))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise GoneError
        message: Message = working.result()
    except Aborted as aborted:
        raise aborted.refused from None
    finally:
        gone.cancel()
        working.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await working
    return message
