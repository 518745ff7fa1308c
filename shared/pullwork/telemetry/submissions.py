"""The `submit` span of each task that a client submits; its context goes into the headers.

It goes by the program's own OpenTelemetry, whoever set that up; a program without it pays for
a look at the loaded modules when it opens a client, and for nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from pullwork.v1 import task_pb2

if TYPE_CHECKING:
    import asyncio

    from opentelemetry.trace import Span, Tracer

# The contract's bounds; a task must not be refused for what it was not submitted with.
_HEADERS_MAX: Final = 64
_HEADERS_BYTES_MAX: Final = 8 * 1024


def find_submissions(address: str) -> Submissions | None:
    """Returns what traces a client's submissions; None if the program traces nothing."""
    api: Any = sys.modules.get("opentelemetry.trace")
    if api is None or isinstance(api.get_tracer_provider(), api.ProxyTracerProvider):
        return None
    return Submissions(api.get_tracer("pullwork"), address)


class Submissions:
    """Begins and ends the spans."""

    def __init__(self, tracer: Tracer, address: str) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = tracer
        self._propagator = TraceContextTextMapPropagator()
        host, _, port = address.rpartition(":")
        self._server: dict[str, str | int] = {"server.address": host.strip("[]")}
        if port.isdecimal():
            self._server["server.port"] = int(port)

    def begin(self, spec: task_pb2.TaskSpec) -> Span:
        """Begins a task's span, a child of the current one, and writes its context on the task.

        Without a current span it is a child of what the task's headers name, if they do.
        """
        from opentelemetry import trace

        from pullwork.telemetry import spans

        queue = spec.queue or "default"
        attributes = self._server | spans.about("submit", queue, spec.type, spec.task_id)
        attributes[spans.OPERATION_TYPE] = "send"
        attributes[spans.BODY_SIZE] = len(spec.payload)
        attributes[spans.CLIENT_ID] = spec.owner
        context = None
        if spec.headers and not trace.get_current_span().get_span_context().is_valid:
            context = self._propagator.extract(spec.headers)
        span = self._tracer.start_span(
            f"submit {queue}", context, trace.SpanKind.PRODUCER, attributes
        )
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, trace.set_span_in_context(span))
        _write(spec, carrier)
        return span

    @contextmanager
    def many(self, specs: Sequence[task_pb2.TaskSpec]) -> Iterator[None]:
        """Gives tasks that are submitted together their spans, each as long as all."""
        begun = [self.begin(spec) for spec in specs]
        try:
            yield
        except BaseException as error:
            for span in begun:
                end(span, error)
            raise
        for span in begun:
            end(span, None)


def end_with(span: Span, receipt: asyncio.Future[Any]) -> None:
    """Ends a task's span as its submission ended."""
    end(span, None if receipt.cancelled() else receipt.exception())


def end(span: Span, error: BaseException | None) -> None:
    """Ends a span, as failed if there is an error."""
    from pullwork.telemetry.spans import failed, type_of

    if error is not None:
        failed(span, type_of(error), str(error))
    span.end()


def _write(spec: task_pb2.TaskSpec, carrier: dict[str, str]) -> None:
    """Puts a context into the headers, or leaves them as they are if they have no room."""
    theirs = {key: value for key, value in spec.headers.items() if key not in carrier}
    room = _HEADERS_BYTES_MAX - sum(len(f"{key}{value}".encode()) for key, value in theirs.items())
    if len(theirs) + len(carrier) > _HEADERS_MAX:
        return
    if sum(map(len, carrier.keys())) + sum(map(len, carrier.values())) > room:
        return
    if "tracestate" not in carrier:
        spec.headers.pop("tracestate", None)
    spec.headers.update(carrier)
