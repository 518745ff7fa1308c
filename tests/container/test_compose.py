"""compose.yaml is what Compose takes, and `docker compose up` gives a cluster that works."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import docker
import pytest
from built_images import ROOT, Images
from cluster import until

from pullwork.settings import load
from pullwork_master.config import MasterSettings
from pullwork_worker.config import WorkerSettings

OVERRIDE = """
services:
  master: {{image: "{master}", ports: !override ["127.0.0.1::7733"]}}
  worker: {{image: "{worker}"}}
  worker-large: {{image: "{worker}"}}
  producer: {{image: "{worker}"}}
"""


def with_compose(folder: Path) -> dict[str, str]:
    """Returns an environment in which `docker compose` is a command: it may be so already, else
    the program that the tests bring becomes the plugin."""
    asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if asked.returncode == 0:
        return dict(os.environ)
    package = find_spec("compose")
    if package is None or package.origin is None:
        pytest.skip("no Docker Compose; remedy: apt-get install docker-compose-plugin")
    plugins = folder / "docker" / "cli-plugins"
    plugins.mkdir(parents=True)
    # Not the package's own command, which tells nobody how Compose ended.
    plugins.joinpath("docker-compose").symlink_to(Path(package.origin).with_name("docker-compose"))
    return os.environ | {"DOCKER_CONFIG": str(plugins.parent)}


class Project:
    """compose.yaml under a name of its own, with the images of this tree and a free port."""

    def __init__(self, images: Images, folder: Path) -> None:
        self.name = f"pullwork-test-{uuid.uuid4().hex[:8]}"
        override = folder / "override.yaml"
        # The port of people's own cluster is left to them.
        override.write_text(OVERRIDE.format(master=images.master, worker=images.worker))
        files = (ROOT / "compose.yaml", override)
        self._environ = with_compose(folder) | {"COMPOSE_PROGRESS": "plain"}
        self._words = ["docker", "compose", "--project-name", self.name]
        self._words += [word for file in files for word in ("--file", str(file))]

    def run(self, *words: str) -> str:
        """Runs a command of Compose and returns what it printed."""
        ran = subprocess.run(
            [*self._words, *words],
            cwd=ROOT,
            env=self._environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{' '.join(words)}: {ran.stdout[-2000:]}{ran.stderr[-4000:]}"
        return ran.stdout

    def pullwork(self, *words: str) -> Any:
        """Runs a command of ours in the master's container and returns its JSON."""
        return json.loads(self.run("exec", "--no-TTY", "master", "pullwork", *words, "--json"))

    def workers(self, group: str) -> int:
        """Counts the connected workers of a group."""
        return sum(
            worker["state"] == "CONNECTED" and worker["labels"].get("group") == group
            for worker in self.pullwork("workers")
        )


@pytest.fixture
def project(engine: docker.DockerClient, images: Images, tmp_path: Path) -> Iterator[Project]:
    made = Project(images, tmp_path)
    try:
        yield made
        print(made.run("logs", "--tail", "40"))
    finally:
        made.run("down", "--volumes", "--timeout", "5")


def test_its_variables_are_settings(project: Project) -> None:
    services = json.loads(project.run("config", "--format", "json"))["services"]
    for name in ("worker", "worker-large"):
        load(WorkerSettings, environ=services[name]["environment"])
    load(MasterSettings, environ=services["master"].get("environment") or {})
    assert {it["read_only"] for it in services.values()} == {True}


async def test_up_gives_two_groups_at_work_and_scaling_adds_to_one(project: Project) -> None:
    project.run("up", "--detach", "--no-build")
    await until(
        lambda: (project.workers("first"), project.workers("second")) == (2, 1),
        "both groups are there",
        60,
    )

    def succeeded() -> int:
        return len(project.pullwork("list", "--queue", "demo", "--state", "succeeded"))

    await until(lambda: succeeded() >= 3, "tasks end", 60)
    project.run("up", "--detach", "--no-build", "--scale", "worker=4")
    await until(lambda: project.workers("first") == 4, "two more joined", 60)
    assert "words" in project.run("logs", "producer")
