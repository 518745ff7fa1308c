"""The engine of this machine as tests see it, past all of our code; and an image to run."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import uuid
from typing import Any

import docker

from pullwork_worker.services.container_config import CLUSTER

BASE = "pullwork-base"
REMEDY = "start one and make its image by `.ci/engine` on Debian, and see docs/containers.md"
SERVES = (
    "import http.server, os, signal, sys\n"
    "signal.signal(15, lambda *_: sys.exit(0))\n"
    "print('up', flush=True)\n"
    "http.server.HTTPServer(('', 8080), http.server.SimpleHTTPRequestHandler).serve_forever()"
)


def missing() -> str:
    """Returns why containers can't be tested here, or nothing."""
    if shutil.which("docker") is None:
        return "there is no program `docker`"
    asked = subprocess.run(
        ["docker", "image", "inspect", BASE], capture_output=True, text=True, check=False
    )
    return asked.stderr.strip() if asked.returncode else ""


class Containers:
    """The containers of one test, by the cluster that only it has."""

    def __init__(self) -> None:
        self.cluster = f"test-{uuid.uuid4()}"
        self._client = docker.from_env(timeout=60)

    def all(self, cluster: str = "") -> list[Any]:
        """Returns all containers, running or not."""
        label = f"{CLUSTER}={cluster or self.cluster}"
        filters = {"label": label}
        # Some may be removed between the list and a closer look at each.
        return list(self._client.containers.list(all=True, filters=filters, ignore_removed=True))

    def inspect(self, container: Any) -> dict[str, Any]:
        """Returns what the engine knows of a container."""
        seen: dict[str, Any] = self._client.api.inspect_container(container.id)
        return seen

    def by_another(self, name: str | None = None, **labels: str) -> Any:
        """Runs a container as somebody else would have made it."""
        return self._client.containers.run(
            BASE,
            ["sleep", "600"],
            name=name,
            detach=True,
            init=True,
            labels={"pullwork.test": self.cluster, CLUSTER: self.cluster} | labels,
        )

    def close(self) -> None:
        """Removes all, and what stood beside them."""
        beside = self._client.containers.list(
            all=True, filters={"label": f"pullwork.test={self.cluster}"}
        )
        for container in [*self.all(), *beside]:
            # Who kept it may be removing it at the moment.
            with contextlib.suppress(docker.errors.APIError):
                container.remove(force=True)
        self._client.close()
