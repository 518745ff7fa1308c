"""What the images promise: who they run as, what they say, and how they end."""

from __future__ import annotations

from typing import Any

import docker
import pytest
from built_images import Images
from cluster import until
from container_cluster import ContainerCluster, Node

from pullwork import Client

SCRAPE = (
    "from urllib.request import urlopen; "
    "print(urlopen('http://127.0.0.1:9464/metrics').read().decode())"
)
MEGABYTE = 1_000_000
# Without what the base brings.
OURS_MAX = 130 * MEGABYTE


@pytest.fixture(params=["master", "tasks"])
def image(request: pytest.FixtureRequest, images: Images) -> str:
    """Each image by its name."""
    return str(getattr(images, request.param))


def test_an_image_runs_as_nobody_in_particular(engine: docker.DockerClient, image: str) -> None:
    config: dict[str, Any] = engine.images.get(image).attrs["Config"]
    assert config["User"] == "10001:10001", "a number, so that Kubernetes sees that it is not root"
    assert config["Healthcheck"]["Test"][:3] == ["CMD", "pullwork", "health"]
    assert "HOME" not in "".join(config["Env"])


def test_an_image_adds_little_to_its_base(engine: docker.DockerClient, image: str) -> None:
    layers = engine.images.get(image).history()
    base = next(size for layer in reversed(layers) if (size := layer["Size"]))
    assert engine.images.get(image).attrs["Size"] - base < OURS_MAX


def test_only_data_is_in_the_volume(engine: docker.DockerClient, images: Images) -> None:
    config = engine.images.get(images.master).attrs["Config"]
    assert list(config["Volumes"]) == ["/var/lib/pullwork"]
    assert not engine.images.get(images.tasks).attrs["Config"].get("Volumes")


async def test_a_master_and_a_worker_are_healthy_and_say_so_in_json(
    cluster: ContainerCluster,
) -> None:
    master, worker = cluster.master(), cluster.worker("one")
    for node, role in ((master, "master"), (worker, "worker")):
        await until(lambda node=node: node.health == "healthy", f"{node.name} is healthy", 60)
        code, said = node.run("pullwork", "health", role)
        assert code == 0, said
        assert all({"time", "level", "message"} <= line.keys() for line in node.lines())
    opened = [line for line in master.lines() if "OPEN TO THE NETWORK" in line["message"]]
    assert [line["level"] for line in opened] == ["warning"], "it says loudly what is open"


async def test_both_end_at_sigterm_with_nothing_left_to_kill(cluster: ContainerCluster) -> None:
    master, worker = cluster.master(), cluster.worker("one")
    async with Client(cluster.address) as client:

        async def joined() -> bool:
            return bool(await client.workers())

        await until(joined, "the worker registers", 60)
    assert worker.stop() == 0, worker.said()
    assert "draining: SIGTERM" in worker.said()
    assert master.stop() == 0, master.said()
    assert "master stops" in master.said()


def test_the_shell_of_a_container_asks_its_own_master(cluster: ContainerCluster) -> None:
    master: Node = cluster.master()
    code, said = master.run("pullwork", "queues", "--json")
    assert code == 0, said
    assert '"default"' in said


async def test_metrics_need_a_setting_and_no_further_package(cluster: ContainerCluster) -> None:
    master = cluster.master(METRICS_LISTEN="127.0.0.1:9464")
    await until(
        lambda: "pullwork_commit_duration_seconds" in master.run("python3", "-c", SCRAPE)[1],
        "the master is scraped",
        60,
    )
