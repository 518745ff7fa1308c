"""A real Prometheus, set up as deploy/discovery has it, finds real instances and scrapes them."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from cluster import until
from http_door import HttpDoor
from instances_by_hand import InstancesByHand
from listed_instances import ListedInstances
from real_programs import DOOR, configured, free_port, program, running

JOB = "pullwork-services"


@pytest.fixture
def by_hand(listed: ListedInstances, tmp_path: Path) -> Iterator[InstancesByHand]:
    """Instances that the test starts and kills."""
    with ExitStack() as stack:
        yield InstancesByHand(listed, tmp_path, stack)


QUICK = "global: {scrape_interval: 1s}\nscrape_configs:\n"


def _config(door: HttpDoor, folder: Path) -> Path:
    changes = {
        DOOR: door.address,
        "refresh_interval: 10s": "refresh_interval: 500ms",
        "scrape_configs:\n": QUICK,
    }
    return configured("prometheus.yml", folder, **changes)


async def test_its_own_tool_takes_our_list(
    door: HttpDoor, by_hand: InstancesByHand, tmp_path: Path
) -> None:
    promtool, config = program("promtool"), _config(door, tmp_path)
    by_hand.start("web")
    run = await asyncio.to_thread(
        subprocess.run,
        # It takes all the time that it is given.
        [promtool, "check", "service-discovery", "--timeout=3s", config, JOB],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    (found,) = json.loads(run.stdout)
    assert found["labels"]["service"] == "web"
    assert found["labels"]["service_instance"] == "web-1"
    assert found["discoveredLabels"]["__meta_pullwork_port_name"] == "metrics"


async def test_it_scrapes_what_there_is_and_forgets_what_is_gone(
    door: HttpDoor, by_hand: InstancesByHand, tmp_path: Path
) -> None:
    prometheus, config = program("prometheus"), _config(door, tmp_path)
    by_hand.start("web")
    by_hand.start("db")
    port = free_port()
    command = (
        prometheus,
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    url = f"http://127.0.0.1:{port}/api/v1"
    with running(*command, output=tmp_path / "prometheus.log"):
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as asked:

            async def scraped() -> set[str]:
                result = await _get(asked, "/query?query=up_name", "result")
                return {each["metric"]["service_instance"] for each in result}

            async def targets() -> dict[str, str]:
                active = await _get(asked, "/targets?state=active", "activeTargets")
                return {each["labels"]["service_instance"]: each["health"] for each in active}

            await until(lambda: _is(scraped, {"web-1", "db-1"}), "both are scraped")
            by_hand.start("web")
            by_hand.kill("web-1")
            there = {"web-2": "up", "db-1": "up"}
            await until(lambda: _is(targets, there), "the new one is found, the dead forgotten")


async def _get(asked: httpx.AsyncClient, path: str, part: str) -> Any:
    try:
        answer = await asked.get(path)
    except httpx.TransportError:
        return []
    return answer.json()["data"][part] if answer.status_code == 200 else []


async def _is(look: Any, expected: object) -> bool:
    return await look() == expected
