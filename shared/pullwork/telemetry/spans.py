"""The spans of a task's life, named after OpenTelemetry's conventions for messaging.

`submit` is the producer's and its context travels in the task's headers; each attempt adds `wait`,
by the master, and `process`, by the worker, both children of `submit`. The headers stay as they
were submitted, so a master without telemetry leaves no gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pullwork.telemetry.ids import RUN, WAIT, ChosenIds, span_id_of, trace_id_of

SYSTEM: Final = "messaging.system"
OPERATION: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
DESTINATION: Final = "messaging.destination.name"
MESSAGE_ID: Final = "messaging.message.id"
BODY_SIZE: Final = "messaging.message.body.size"
CLIENT_ID: Final = "messaging.client.id"
ERROR_TYPE: Final = "error.type"
# Ours, where there is no convention.
TASK_TYPE: Final = "pullwork.task.type"
ATTEMPT: Final = "pullwork.attempt"
WORKER: Final = "pullwork.worker"

_NS_IN_MS: Final = 1_000_000

Attributes = Mapping[str, str | int]


def about(operation: str, queue: str, type: str, task_id: str) -> dict[str, str | int]:
    """Returns what every span of a task says."""
    return {
        SYSTEM: "pullwork",
        OPERATION: operation,
        DESTINATION: queue,
        MESSAGE_ID: task_id,
        TASK_TYPE: type,
    }


class Spans:
    """Makes the spans of attempts, with ids that follow from task and attempt."""

    def __init__(self, tracer: Tracer, ids: ChosenIds) -> None:
        self._tracer = tracer
        self._ids = ids
        self._propagator = TraceContextTextMapPropagator()

    def waited(
        self,
        headers: Mapping[str, str],
        attributes: dict[str, str | int],
        attempt: int,
        since_ms: int,
        until_ms: int,
        former: int,
    ) -> None:
        """Tells that a task waited, by the wall clock; `former`: the attempt to link to, or 0.

        `attributes` are those of `about`, and what else is to be said.
        """
        span = self._begin(
            "wait", WAIT, SpanKind.INTERNAL, headers, attributes, attempt, former, since_ms
        )
        span.end(max(since_ms, until_ms) * _NS_IN_MS)

    @contextmanager
    def attempt(
        self,
        headers: Mapping[str, str],
        attributes: dict[str, str | int],
        attempt: int,
        former: int,
    ) -> Iterator[Span]:
        """Has what runs within be an attempt's `process`: spans that it makes are children."""
        attributes[OPERATION_TYPE] = "process"
        span = self._begin(
            "process", RUN, SpanKind.CONSUMER, headers, attributes, attempt, former, None
        )
        with trace.use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            try:
                yield span
            except BaseException as error:
                failed(span, type_of(error), str(error))
                raise

    def _begin(
        self,
        operation: str,
        part: bytes,
        kind: SpanKind,
        headers: Mapping[str, str],
        attributes: dict[str, str | int],
        attempt: int,
        former: int,
        start_ms: int | None,
    ) -> Span:
        task_id = str(attributes[MESSAGE_ID])
        context = self._propagator.extract(headers, Context())
        submitter = trace.get_current_span(context).get_span_context()
        trace_id = submitter.trace_id if submitter.is_valid else trace_id_of(task_id)
        attributes[ATTEMPT] = attempt
        links = _links(trace_id, task_id, former)
        with self._ids.chosen(trace_id, span_id_of(task_id, attempt, part)):
            return self._tracer.start_span(
                f"{operation} {attributes[DESTINATION]}",
                context,
                kind,
                attributes,
                links,
                start_time=None if start_ms is None else start_ms * _NS_IN_MS,
            )


def _links(trace_id: int, task_id: str, former: int) -> Sequence[Link]:
    if former < 1:
        return ()
    context = SpanContext(
        trace_id,
        span_id_of(task_id, former, RUN),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return (Link(context, {ATTEMPT: former}),)


def failed(span: Span, type: str, message: str, details: str = "") -> None:
    """Marks a span as failed, in the convention's words for errors."""
    span.set_status(Status(StatusCode.ERROR, message))
    span.set_attribute(ERROR_TYPE, type)
    event: dict[str, Any] = {"exception.type": type, "exception.message": message}
    if details:
        event["exception.stacktrace"] = details
    span.add_event("exception", event)


def type_of(error: BaseException) -> str:
    """Returns an error's name as failures carry it."""
    return f"{type(error).__module__}.{type(error).__qualname__}"
