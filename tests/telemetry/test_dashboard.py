"""The dashboard asks only for what a master really exports, with labels that it really has."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster, until
from metric_jobs import deadly, flaky
from scrape import Scrape, metrics_address

from pullwork import Client

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "pullwork.json"
SERIES = re.compile(r"\b((?:pullwork|process)_[a-z_]+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r"([a-z_]+)(?:=~|!~|!=|=)\"")
GROUPED = re.compile(r"\bby \(([^)]*)\)")
SHOWN = re.compile(r"\{\{([a-z_]+)\}\}")
# What the scraper adds.
SCRAPER = {"job", "instance"}


def _document() -> Any:
    return json.loads(DASHBOARD.read_text())


def _expressions(document: Any) -> Iterator[tuple[str, str]]:
    for panel in document["panels"]:
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]
    for variable in document["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"], ""


def faults(document: Any, seen: Scrape) -> list[str]:
    """Returns what the dashboard asks for that is not there."""
    labels: dict[str, set[str]] = {}
    for sample in seen.samples:
        labels.setdefault(sample.name, set()).update(sample.labels)
    found = []
    for expression, legend in _expressions(document):
        series = SERIES.findall(expression)
        assert series, f"asks for nothing of ours: {expression}"
        names = [name for name, _ in series]
        found += [f"{name} is not exported" for name in names if name not in labels]
        known = SCRAPER.union(*(labels.get(name, set()) for name in names))
        asked = set(MATCHER.findall("".join(matchers for _, matchers in series)))
        grouped = ",".join(GROUPED.findall(expression)).split(",")
        asked |= {label.strip() for label in grouped if label.strip()} | set(SHOWN.findall(legend))
        found += [f"{label} is no label in {expression}" for label in asked - known]
    return found


@pytest.fixture
async def scraped(told: Cluster) -> Scrape:
    """What is there once each counter has counted something."""
    master = await told.master()
    address = await metrics_address(master)
    told.worker("w", tasks="metric_jobs")
    async with Client(told.address) as client:
        for handle in await client.submit_many([flaky.with_args(), deadly.with_args()]):
            await handle.wait(30)
    await until(lambda: "pullwork_leases_lost_total" in Scrape(address).names(), "a lease was lost")
    return await asyncio.to_thread(Scrape, address)


async def test_the_dashboard_asks_for_what_there_is(scraped: Scrape) -> None:
    assert faults(_document(), scraped) == []


@pytest.mark.parametrize(
    "planted",
    [
        "sum(rate(pullwork_tasks_finished_total[5m]))",
        "sum by (kind) (pullwork_queue_tasks)",
        'pullwork_workers{status="connected"}',
    ],
)
async def test_a_query_for_what_is_not_there_is_caught(scraped: Scrape, planted: str) -> None:
    document = _document()
    document["panels"][0]["targets"][0]["expr"] = planted
    assert faults(document, scraped)


def test_every_metric_is_shown_or_told_of_in_the_page() -> None:
    page = (DASHBOARD.parents[2] / "docs" / "telemetry.md").read_text()
    for expression, _ in _expressions(_document()):
        for name, _ in SERIES.findall(expression):
            base = re.sub(r"(_total|_bucket|_seconds)+$", "", name)
            assert base in page.replace(".", "_"), f"{name} is not in docs/telemetry.md"
