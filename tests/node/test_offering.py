"""What a worker offers: instances, tasks or both, and what it refuses to begin with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cluster import until
from node_workers import WAITS, Workers, python
from stub_master import StubMaster

from pullwork.errors import SettingsError
from pullwork_worker.config import WorkerSettings
from pullwork_worker.services import node

LOADED = """
import sys
from pullwork_worker import main
sys.stdout.write(" ".join(name for name in sys.modules if name.startswith("pullwork_worker.ser")))
"""


def test_a_worker_that_offers_nothing_loads_nothing_of_it() -> None:
    run = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == ""


async def test_tasks_and_instances_are_two_workers_in_one_process(
    master: StubMaster, workers: Workers
) -> None:
    worker = workers.start("n1", "--command", "shout=cat", "--name", "w1", "--label", "a=b")
    # The stub keeps one session, so the two end each other's; both come, again and again.
    await until(lambda: len({it.worker_name for it in master.registered}) == 2, "both are there")
    said = {it.worker_name: it for it in master.registered}
    assert set(said) == {"w1", "pullwork.node/n1"}
    assert list(said["w1"].task_types) == ["shout"]
    assert list(said["pullwork.node/n1"].task_types) == ["pullwork.process"]
    assert all(dict(it.labels) == {"a": "b"} for it in said.values())
    worker.terminate()
    assert await worker.ended() == 0


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--offer", "vm"], "worker.offer"),
        (["--node", "no/slash"], "letters, digits"),
        (["--instances-max", "0"], "worker.instances_max"),
        (["--state", "/proc/nowhere"], "worker.state can't be /proc/nowhere"),
    ],
)
async def test_what_can_not_be_offered_is_refused_by_the_settings_name(
    workers: Workers, flags: list[str], told: str
) -> None:
    worker = workers.start("n1", *flags)
    assert await worker.ended() == 2
    assert told in worker.said()


def test_containers_without_their_client_name_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("container", "container_program", "engine"):
        monkeypatch.delitem(sys.modules, f"pullwork_worker.services.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "aiodocker", None)
    settings = WorkerSettings(offer=["container"], state=tmp_path)
    with pytest.raises(SettingsError, match=r"pip install 'pullwork\[containers\]'"):
        node.make_runners(settings, {})


async def test_a_name_that_another_worker_has_ends_the_node_and_leaves_its_programs(
    master: StubMaster, workers: Workers, tmp_path: Path
) -> None:
    first = workers.start()
    task = master.submit(python(WAITS))
    await until(lambda: master.state(task) == "HEALTHY", "it runs")
    master.take_name()
    assert await first.ended() == 2
    assert "another worker is the node 'n1' now; give each its own --node" in first.said()
    assert len(workers.programs()) == 1
