"""The span of each attempt: what runs within it, and what that submits, is its child.

The same on the loop, in a thread and in a child process, which exports its own spans: so those
that a function makes itself find their way, too. Children load it: no gRPC before it is asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pullwork.telemetry import Telemetry, start
from pullwork_worker.executors.work import Work
from pullwork_worker.outcome import Failure, Outcome

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from pullwork.telemetry.spans import Spans

SERVICE = "pullwork-worker"


class AttemptTracing:
    """Makes the spans of one process."""

    def __init__(self, spans: Spans, worker: str) -> None:
        self.worker = worker
        self._spans = spans

    def run(self, work: Work, run: Callable[[], Outcome]) -> Outcome:
        """Runs an attempt within its span."""
        with self._span(work) as span:
            outcome = run()
            _tell_end(span, outcome)
        return outcome

    async def follow(self, work: Work, attempt: Awaitable[Outcome]) -> Outcome:
        """Awaits an attempt within its span."""
        with self._span(work) as span:
            outcome = await attempt
            _tell_end(span, outcome)
        return outcome

    @contextmanager
    def _span(self, work: Work) -> Iterator[Span]:
        from pullwork.telemetry.spans import BODY_SIZE, CLIENT_ID, WORKER, about

        attributes = about("process", work.queue, work.type, work.task_id)
        attributes[BODY_SIZE] = len(work.payload)
        attributes[CLIENT_ID] = attributes[WORKER] = self.worker
        with self._spans.attempt(work.headers, attributes, work.attempt, work.former) as span:
            yield span


def tracing_of(telemetry: Telemetry, worker: str) -> AttemptTracing | None:
    """Returns what makes the spans; None if there are to be none."""
    return None if telemetry.spans is None else AttemptTracing(telemetry.spans, worker)


def start_in_child(worker: str) -> Telemetry:
    """Starts telemetry in a child process as in its worker, whose variables it has."""
    return start(SERVICE, facts={"service.instance.id": worker})


def trace_words() -> dict[str, str]:
    """Returns the current span's context as variables for a program: TRACEPARENT, TRACESTATE."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return {key.upper(): value for key, value in carrier.items()}


def _tell_end(span: Span, outcome: Outcome) -> None:
    if isinstance(outcome, Failure):
        from pullwork.telemetry.spans import failed

        failed(span, outcome.type, outcome.message, outcome.details)
