"""Images that are started wrongly: each says what is wrong and what to do, in one line."""

from __future__ import annotations

import pytest
from cluster import until
from container_cluster import ContainerCluster, Node

QUICK_CHECKS = {
    "healthcheck": {
        "test": ["CMD", "pullwork", "health", "worker"],
        "interval": 1_000_000_000,
        "timeout": 5_000_000_000,
        "retries": 2,
    }
}


async def ended(node: Node) -> int:
    await until(lambda: not node.running, f"{node.name} ends", 60)
    return node.exit_code


async def test_a_worker_without_a_reachable_master_retries_and_is_unhealthy(
    cluster: ContainerCluster,
) -> None:
    env = {"PULLWORK_ADDRESS": "nowhere.invalid:7733"}
    node = cluster.alone("lonely", cluster.images.tasks, env, **QUICK_CHECKS)
    await until(lambda: node.health == "unhealthy", "the engine calls it unhealthy", 60)
    assert node.running, "it goes on trying"
    line = next(line for line in node.lines() if "no master yet" in line["message"])
    assert line["master"] == "nowhere.invalid:7733"
    code, said = node.run("pullwork", "health", "worker")
    assert (code, "service connected: NOT_SERVING" in said) == (1, True), said
    code, said = node.run("pullwork", "health", "worker", "--service", "")
    assert code == 0, "it is alive: whoever restarts it gains nothing"
    assert node.stop() == 0


async def test_a_worker_without_a_task_module_ends_and_names_the_setting(
    cluster: ContainerCluster,
) -> None:
    node = cluster.alone("idle", cluster.images.worker, {})
    assert await ended(node) == 2
    assert "there is nothing that this worker can do" in node.said()
    assert "PULLWORK_WORKER_TASKS=" in node.said()


async def test_a_task_module_that_is_not_in_the_image_is_named(cluster: ContainerCluster) -> None:
    node = cluster.alone("lost", cluster.images.worker, {"PULLWORK_WORKER_TASKS": "mytasks"})
    assert await ended(node) == 2
    assert "there is no module 'mytasks'" in node.said()
    assert "/app" in node.said(), "it says from where modules are imported"


@pytest.mark.parametrize("mode", ["ro", "rw"])
async def test_a_master_that_can_not_write_its_volume_says_who_it_is(
    cluster: ContainerCluster, mode: str
) -> None:
    folder = cluster.folder / "volume"
    folder.mkdir(mode=0o755)
    volumes = [(str(folder), "/var/lib/pullwork", mode)]
    node = cluster.alone("barred", cluster.images.master, {}, volumes=volumes, user="10001:10001")
    assert await ended(node) == 1
    [line] = node.lines()
    assert "the data folder /var/lib/pullwork can't be used" in line["message"]
    assert "let this user (uid 10001) write there" in line["message"]
    assert line["level"] == "error"


@pytest.mark.parametrize("role", ["master", "worker"])
async def test_an_unknown_variable_is_refused_by_its_name(
    cluster: ContainerCluster, role: str
) -> None:
    image = cluster.images.master if role == "master" else cluster.images.tasks
    node = cluster.alone("misspelt", image, {"PULLWORK_MASTER_LISTN": "0.0.0.0:1"})
    assert await ended(node) == 2
    assert "PULLWORK_MASTER_LISTN is no variable of Pullwork" in node.said()
    assert "did you mean PULLWORK_MASTER_LISTEN?" in node.said()
