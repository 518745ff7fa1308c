"""The demo of services over containers of a real engine: right at each step."""

from __future__ import annotations

import subprocess
import sys

import docker
import pytest

BASE = "pullwork-base"
MAIN = "from pullwork.cli.main import main; main()"


@pytest.fixture
def base(engine: docker.DockerClient) -> str:
    """An image with python3."""
    try:
        engine.images.get(BASE)
    except docker.errors.ImageNotFound:
        pytest.skip(f"there is no image {BASE}; remedy: .ci/engine makes it on Debian")
    return BASE


def test_every_step_of_the_demo_is_right_over_containers(base: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", MAIN, "demo", "--services", "--image", base],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    steps = [line for line in ran.stdout.splitlines() if line.startswith("RIGHT ")]
    assert len(steps) == 10, ran.stdout
