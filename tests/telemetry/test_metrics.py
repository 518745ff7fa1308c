"""What is scraped and what is sent are the truth of the run, to the task."""

from __future__ import annotations

import asyncio
import json

import pytest
from cluster import Cluster, until
from jobs import began, hold, square
from metric_jobs import flaky
from receiver import Receiver, words
from scrape import Scrape, metrics_address

from pullwork import Client
from pullwork.errors import TaskFailedError


async def test_metrics_are_the_truth_of_the_run(told: Cluster, receiver: Receiver) -> None:
    master = await told.master()
    address = await metrics_address(master)
    async with Client(told.address) as client:
        later = await client.submit(square.with_args(1), delay=3600.0)
        waiting = await client.submit_many([square.with_args(n) for n in range(5)], queue="idle")
        worker = told.worker("w", "--tasks", "metric_jobs")
        handles = await client.submit_many([square.with_args(n) for n in range(40)])
        assert [await it.result(30) for it in handles] == [n * n for n in range(40)]
        failing = await client.submit_many([flaky.with_args() for _ in range(3)])
        for handle in failing:
            with pytest.raises(TaskFailedError):
                await handle.result(30)
        await client.cancel(waiting[0].id)
        # One lease is lost with its worker, and another worker ends the task.
        gate = told.folder / "gate"
        held = await client.submit(hold.with_args(str(gate)))
        await until(began(gate).exists, "the task runs")
        await until(lambda: _holds(Scrape(address)), "the task is seen to run")
        worker.kill()
        told.worker("heir", "--tasks", "metric_jobs")
        gate.touch()
        assert await held.result(30) == "let go"
        await client.get(later.id)

    # What there is, is seen as it was up to a tenth of a second ago.
    await until(lambda: _is_settled(Scrape(address)), "nothing runs")
    _is_the_truth(await asyncio.to_thread(Scrape, address))
    await until(lambda: _sent(receiver) == 50, "the same is sent by OTLP")
    master.terminate()
    assert await master.ended() == 0


def _holds(seen: Scrape) -> bool:
    return seen.sum("pullwork_queue_tasks", state="running", type="jobs.hold") == 1


def _is_settled(seen: Scrape) -> bool:
    gone = seen.sum("pullwork_workers", state="connected") == 1
    queued = seen.sum("pullwork_queue_tasks", queue="default", state="queued")
    return gone and queued + seen.sum("pullwork_queue_tasks", state="running") == 0


def _is_the_truth(seen: Scrape) -> None:
    submitted = "pullwork_tasks_submitted_total"
    assert seen.sum(submitted) == 1 + 5 + 40 + 3 + 1
    assert seen.sum(submitted, queue="idle", type="jobs.square") == 5
    ended = "pullwork_tasks_ended_total"
    assert seen.sum(ended, state="succeeded") == 41
    assert seen.sum(ended, state="failed", type="metric_jobs.flaky") == 3
    assert seen.sum(ended, state="cancelled", queue="idle") == 1
    assert seen.sum(ended) == 45
    assert seen.sum("pullwork_attempts_ended_total", end="failed") == 3 * 3
    assert seen.sum("pullwork_retries_total") == 3 * 2
    assert seen.sum("pullwork_leases_lost_total", type="jobs.hold") == 1
    assert seen.sum("pullwork_leases_lost_total") == 1
    squares = {"queue": "default", "type": "jobs.square"}
    released = seen.sum("pullwork_attempts_ended_total", end="released", **squares)
    assert seen.sum("pullwork_task_wait_seconds_count", **squares) == 40 + released
    assert seen.sum("pullwork_attempt_duration_seconds_count", **squares) == 40
    assert seen.sum("pullwork_attempt_duration_seconds_count", type="jobs.hold") == 2
    assert seen.sum("pullwork_queue_tasks", queue="idle", state="queued") == 4
    assert seen.sum("pullwork_queue_tasks", queue="default", state="scheduled") == 1
    assert seen.sum("pullwork_queue_tasks", state="running") == 0
    assert seen.sum("pullwork_queue_oldest_age_seconds", queue="idle") > 0
    assert seen.sum("pullwork_queue_oldest_age_seconds", queue="default") == 0
    assert seen.sum("pullwork_workers", state="connected") == 1
    assert seen.sum("pullwork_workers_slots") == 2
    assert seen.sum("pullwork_commit_duration_seconds_count") > 0
    assert seen.sum("pullwork_loop_lag_seconds_count") > 0
    assert seen.sum("process_resident_memory_bytes") > 0


def _sent(receiver: Receiver) -> int:
    metric = receiver.metric("pullwork-master", "pullwork.tasks.submitted")
    return 0 if metric is None else sum(it.as_int for it in metric.sum.data_points)


async def test_the_last_counts_are_sent_when_a_master_stops(
    told: Cluster, receiver: Receiver
) -> None:
    told.env["OTEL_METRIC_EXPORT_INTERVAL"] = "3600000"
    master = await told.master()
    async with Client(told.address) as client:
        await client.submit_many([square.with_args(n) for n in range(7)])
    master.terminate()
    assert await master.ended() == 0
    assert _sent(receiver) == 7
    metric = receiver.metric("pullwork-master", "pullwork.tasks.submitted")
    assert metric is not None
    assert [words(it.attributes) for it in metric.sum.data_points] == [
        {"queue": "default", "type": "jobs.square"}
    ]


async def test_however_many_types_there_are_the_series_are_bounded(told: Cluster) -> None:
    master = await told.master()
    address = await metrics_address(master)
    async with Client(told.address) as client:
        for number in range(250):
            await client.submit_raw(f"made.up.{number}", b"")
    await until(
        lambda: Scrape(address).sum("pullwork_queue_tasks", state="queued") == 250, "all are seen"
    )
    seen = await asyncio.to_thread(Scrape, address)
    for name in ("pullwork_tasks_submitted_total", "pullwork_queue_tasks"):
        types = seen.labels(name, "type")
        assert len(types) == 201
        assert "other" in types
    assert seen.sum("pullwork_tasks_submitted_total", type="other") == 50
    assert seen.sum("pullwork_queue_tasks", type="other", state="queued") == 50
    assert seen.sum("pullwork_queue_tasks", state="queued") == 250


async def test_a_frozen_loop_does_not_hang_who_scrapes(told: Cluster) -> None:
    """The process answers nothing while it is frozen, and everything once it goes on."""
    master = await told.master()
    address = await metrics_address(master)
    master.freeze()
    asked = asyncio.create_task(asyncio.to_thread(Scrape, address))
    done, _ = await asyncio.wait({asked}, timeout=0.3)
    assert not done
    master.thaw()
    seen = await asked
    assert seen.sum("pullwork_loop_lag_seconds_count") > 0


async def test_nothing_listens_and_nothing_is_loaded_by_default(told: Cluster) -> None:
    told.env = {"PYTHONPROFILEIMPORTTIME": "1"}
    master = await told.master()
    assert "pullwork_master.engine" in master.said()
    assert "opentelemetry" not in master.said()
    assert "prometheus_client" not in master.said()


async def test_a_collector_that_is_away_keeps_nobody(told: Cluster, free_port: int) -> None:
    told.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{free_port}"
    told.env["OTEL_METRIC_EXPORT_INTERVAL"] = "3600000"
    master = await told.master()
    told.worker("w", tasks="jobs")
    async with Client(told.address) as client:
        assert await client.run(square.with_args(3)) == 9
    master.terminate()
    assert await master.ended() == 0
    assert "the last of the telemetry was not sent" in master.said()


async def test_what_is_disabled_listens_nowhere_and_says_so(
    told: Cluster, receiver: Receiver
) -> None:
    told.env["OTEL_SDK_DISABLED"] = "true"
    master = await told.master()
    assert "OTEL_SDK_DISABLED is true: nothing listens on 127.0.0.1:0" in master.said()
    assert "telemetry is on" not in master.said()
    async with Client(told.address) as client:
        await client.submit_raw("a", b"")
    master.terminate()
    assert await master.ended() == 0
    assert receiver.spans() == []
    assert _sent(receiver) == 0


async def test_to_listen_beyond_loopback_is_said_aloud(told: Cluster, free_port: int) -> None:
    told.env["PULLWORK_MASTER_METRICS_LISTEN"] = f"0.0.0.0:{free_port}"
    master = await told.master()
    assert "METRICS ARE OPEN TO THE NETWORK" in master.said()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("OTEL_TRACES_EXPORTER", "oltp", "did you mean otlp?"),
        ("OTEL_METRICS_EXPORTER", "statsd", "otlp, console, prometheus, none"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", "http://127.0.0.1:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "port 4317"),
        ("OTEL_TRACES_SAMPLER", "sometimes", "parentbased_traceidratio"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1s", "a number above 0"),
        ("PULLWORK_MASTER_METRICS_LISTEN", "9464", "host:port"),
    ],
)
async def test_a_bad_value_is_refused_with_its_name_and_what_it_may_be(
    told: Cluster, variable: str, value: str, words: str
) -> None:
    told.env[variable] = value
    master = told.started_master(name="master", listen="127.0.0.1:0")
    assert await master.ended() == 2
    assert (variable in master.said()) or ("master.metrics_listen" in master.said())
    assert words in master.said()


async def test_a_port_that_is_taken_is_said(told: Cluster) -> None:
    first = await told.master()
    address = await metrics_address(first)
    told.env["PULLWORK_MASTER_METRICS_LISTEN"] = address
    second = told.started_master(name="second", listen="127.0.0.1:0", data=told.folder / "other")
    assert await second.ended() == 2
    assert f"can't answer Prometheus on {address}" in second.said()


async def test_a_missing_installation_is_said_with_the_remedy(told: Cluster) -> None:
    """Refused where our setting asks for it; a warning where a variable of all programs does."""
    hidden = told.folder / "hidden" / "opentelemetry"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('not here')\n")
    told.env["PYTHONPATH"] = f"{hidden.parent}:{told.env['PYTHONPATH']}"
    refused = told.started_master(name="refused", listen="127.0.0.1:0")
    assert await refused.ended() == 2
    assert "pip install 'pullwork[telemetry]'" in refused.said()
    del told.env["PULLWORK_MASTER_METRICS_LISTEN"]
    master = await told.master()
    warning = next(
        line for line in map(json.loads, master.said().splitlines()) if line["level"] == "warning"
    )
    assert "OTEL_EXPORTER_OTLP_ENDPOINT asks for telemetry" in warning["message"]
    assert "pip install 'pullwork[telemetry]'" in warning["message"]


async def test_a_standard_variable_alone_opens_the_endpoint(told: Cluster, free_port: int) -> None:
    told.env = {
        "OTEL_METRICS_EXPORTER": "prometheus",
        "OTEL_EXPORTER_PROMETHEUS_PORT": str(free_port),
    }
    master = await told.master()
    await metrics_address(master)
    seen = await asyncio.to_thread(Scrape, f"127.0.0.1:{free_port}")
    assert "pullwork_workers" in seen.names()
