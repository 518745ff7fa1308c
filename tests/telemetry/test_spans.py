"""Whatever travels in the headers, an attempt runs: a bad trace context is none."""

from __future__ import annotations

import asyncio
import logging
import uuid

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pullwork.ids import new_task_id
from pullwork.telemetry import Telemetry
from pullwork.telemetry.ids import RUN, WAIT, ChosenIds, span_id_of, trace_id_of
from pullwork.telemetry.spans import Spans, about
from pullwork_master.core.commands import NewTask, Submit
from pullwork_master.core.effects import Effects
from pullwork_master.core.limits import Policy
from pullwork_master.core.model import Spec
from pullwork_master.engine import Engine
from pullwork_master.storage.memory import MemoryStorage
from pullwork_master.telemetry.watch import Watch
from pullwork_master.views import Views

GOOD = f"00-{'a' * 32}-{'b' * 16}-01"


class Kept:
    """Spans, and where they end."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        ids = ChosenIds()
        provider: TracerProvider = TracerProvider(id_generator=ids, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.spans = Spans(provider.get_tracer("test"), ids)


@pytest.fixture(scope="module")
def kept() -> Kept:
    """The same for many examples."""
    return Kept()


@settings(deadline=None)
@given(parent=st.text(max_size=80), state=st.text(max_size=80))
@example(parent="", state="")
@example(parent="00-" + "0" * 32 + "-" + "0" * 16 + "-00", state="=")
@example(parent=GOOD + "-more", state="a=b,a=c")
@example(parent=GOOD.replace("00-", "ff-"), state=",,,=,")
@example(parent=GOOD, state="\x00")
def test_no_header_keeps_an_attempt_from_its_span(kept: Kept, parent: str, state: str) -> None:
    kept.exporter.clear()
    headers = {"traceparent": parent, "tracestate": state}
    task_id = new_task_id()
    kept.spans.waited(headers, about("wait", "q", "t", task_id), 2, 5, 4, 1)
    with kept.spans.attempt(headers, about("process", "q", "t", task_id), 2, 1):
        pass
    wait, run = kept.exporter.get_finished_spans()
    assert wait.context is not None
    assert run.context is not None
    assert wait.context.trace_id == run.context.trace_id
    if run.parent is None:
        assert run.context.trace_id == uuid.UUID(task_id).int
    assert run.context.span_id == span_id_of(task_id, 2, RUN)
    assert run.links[0].context.span_id == span_id_of(task_id, 1, RUN)


def test_ids_differ_by_task_attempt_and_part() -> None:
    tasks = [new_task_id() for _ in range(100)]
    ids = {
        span_id_of(it, number, part) for it in tasks for number in (1, 2) for part in (WAIT, RUN)
    }
    assert len(ids) == 400
    assert len({trace_id_of(it) for it in tasks}) == 100
    assert trace_id_of("0" * 8 + "-0000-0000-0000-" + "0" * 12) != 0


def test_within_an_attempt_other_spans_have_ids_of_their_own(kept: Kept) -> None:
    kept.exporter.clear()
    task_id = new_task_id()
    with kept.spans.attempt({}, about("process", "q", "t", task_id), 1, 0) as span:
        inner = kept.spans._tracer.start_span("inner")
        inner.end()
        assert inner.get_span_context().span_id != span.get_span_context().span_id
        assert inner.get_span_context().trace_id == span.get_span_context().trace_id


async def test_a_fault_of_telemetry_ends_telemetry_alone(
    kept: Kept, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = MemoryStorage()
    engine = Engine(storage, Policy(tell_moves=True))
    await engine.start()
    telemetry = Telemetry()
    telemetry.spans = kept.spans
    watch = Watch(telemetry, engine, Views(storage.reader()))

    def planted(effects: Effects) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(watch, "_add", planted)
    writer = asyncio.create_task(engine.run())
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            spec = Spec(id=new_task_id(), queue="default", type="a")
            [receipt] = await engine.ask(Submit((NewTask(spec),), (), "tasks[{}].task_id"))
            assert receipt.task_id == spec.id
    engine.stop()
    await writer
    await engine.close()
    assert [record.message for record in caplog.records] == [
        "a bug ends this master's telemetry; the master goes on"
    ]
