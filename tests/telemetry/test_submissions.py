"""A client's span goes into the headers, and never costs a task its submission."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pullwork.connection import Connection
from pullwork.errors import InvalidFieldError
from pullwork.submitter import BYTES_MAX, Submitter
from pullwork.telemetry.submissions import Submissions, end, find_submissions
from pullwork.v1 import task_pb2

THEIRS = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
def kept() -> InMemorySpanExporter:
    """Where spans end."""
    return InMemorySpanExporter()


@pytest.fixture
def provider(kept: InMemorySpanExporter) -> TracerProvider:
    """A program's own OpenTelemetry."""
    made: TracerProvider = TracerProvider(shutdown_on_exit=False)
    made.add_span_processor(SimpleSpanProcessor(kept))
    return made


@pytest.fixture
def submissions(provider: TracerProvider) -> Submissions:
    """A client's."""
    return Submissions(provider.get_tracer("test"), "master:7733")


def a_task(**headers: str) -> task_pb2.TaskSpec:
    return task_pb2.TaskSpec(task_id="t", type="a", payload=b"four", headers=headers)


def test_a_program_without_opentelemetry_traces_nothing() -> None:
    assert find_submissions("127.0.0.1:7733") is None


def test_the_span_is_what_the_headers_name(
    submissions: Submissions, kept: InMemorySpanExporter
) -> None:
    spec = a_task(mine="1")
    end(submissions.begin(spec), None)
    [span] = kept.get_finished_spans()
    assert span.context is not None
    assert (
        f"{span.context.trace_id:032x}-{span.context.span_id:016x}" in spec.headers["traceparent"]
    )
    assert (spec.headers["mine"], len(spec.headers)) == ("1", 2)
    assert span.name == "submit default"
    assert span.attributes is not None
    assert span.attributes["server.address"] == "master"
    assert span.attributes["messaging.message.body.size"] == 4


def test_the_current_span_is_the_parent_and_else_what_the_headers_name(
    submissions: Submissions, provider: TracerProvider, kept: InMemorySpanExporter
) -> None:
    passed_on = a_task(traceparent=THEIRS, tracestate="vendor=1")
    end(submissions.begin(passed_on), None)
    assert passed_on.headers["tracestate"] == "vendor=1"
    with provider.get_tracer("x").start_as_current_span("outer") as outer:
        submitted = a_task(traceparent=THEIRS, tracestate="vendor=1")
        end(submissions.begin(submitted), None)
    first, second, _ = kept.get_finished_spans()
    assert first.parent is not None
    assert second.parent is not None
    assert f"{first.parent.span_id:016x}" == "b" * 16
    assert second.parent.span_id == outer.get_span_context().span_id
    assert "tracestate" not in submitted.headers, "it belongs to the other trace"


@pytest.mark.parametrize(
    "headers",
    [
        {f"h{number}": "x" for number in range(64)},
        {"large": "x" * (8 * 1024 - 5)},
    ],
)
def test_headers_that_have_no_room_stay_as_they_are(
    submissions: Submissions, headers: dict[str, str]
) -> None:
    spec = a_task(**headers)
    end(submissions.begin(spec), None)
    assert dict(spec.headers) == headers


def test_a_refused_submission_is_a_failed_span(
    submissions: Submissions, kept: InMemorySpanExporter
) -> None:
    with pytest.raises(ValueError, match="no"), submissions.many([a_task(), a_task()]):
        raise ValueError("no")
    for span in kept.get_finished_spans():
        assert span.status.status_code is trace.StatusCode.ERROR
        assert span.attributes is not None
        assert span.attributes["error.type"] == "builtins.ValueError"
    assert len(kept.get_finished_spans()) == 2


async def test_a_task_that_is_too_large_to_be_sent_leaves_no_span_open(
    submissions: Submissions,
) -> None:
    submitter = Submitter(Connection("127.0.0.1:1", 1.0))
    submitter.tracing = submissions
    spec = task_pb2.TaskSpec(task_id="t", type="a", payload=b"x" * BYTES_MAX)
    with pytest.raises(InvalidFieldError):
        submitter.submit(spec)
    assert not spec.headers
