"""Images of this tree, and a cluster of containers for each test. Skipped where no engine is."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

# Read once, when testcontainers is imported: it would look for a helper image, which stands in
# a registry, and take the bridge's address for this machine's.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
os.environ.setdefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")

import docker
import pytest
from built_images import Images, build_images
from container_cluster import ContainerCluster
from container_trial import Trial

REMEDY = "start one, e.g. by `.ci/engine` on Debian, and see docs/containers.md"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives every test here time to build the images first."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker("container")
            item.add_marker(pytest.mark.timeout(600))


def no_engine() -> str:
    """Returns why no engine is there, or nothing. The Python client would leak its connection."""
    if shutil.which("docker") is None:
        return "there is no program `docker`"
    asked = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False)
    return asked.stderr.strip() if asked.returncode else ""


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """A client of the engine of this machine."""
    if reason := no_engine():
        pytest.skip(f"no Docker Engine answers ({reason}); remedy: {REMEDY}")
    client = docker.from_env(timeout=120)
    yield client
    client.close()


@pytest.fixture(scope="session")
def images(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """The images of this tree; built once, however many processes test."""
    return build_images(engine, tmp_path_factory.mktemp("context"))


@pytest.fixture
def cluster(
    engine: docker.DockerClient, images: Images, tmp_path: Path
) -> Iterator[ContainerCluster]:
    """Containers on a network of their own, gone with the test; it tells what they said."""
    made = ContainerCluster(engine, images, tmp_path)
    try:
        yield made
    finally:
        print(made.story())
        made.close()


@pytest.fixture
async def trial(cluster: ContainerCluster) -> AsyncIterator[Trial]:
    """A master and two workers under a load that is judged in the end."""
    async with Trial(cluster) as made:
        yield made
