"""Masters and workers in containers on a network of their own, and ways to hurt them.

All of them run as hardened as docs/containers.md says: their root file system is read-only,
they have no capabilities and can get none.
"""

from __future__ import annotations

import json
import os
import socket
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import docker.errors
from built_images import Images
from docker.models.containers import Container
from fault_harness.executions import FOLDER
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

PORT = 7733
HARDENED: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
}
# So that silence is noticed in seconds.
BRISK = {"HEARTBEAT": "500ms", "GRACE": "500ms", "SILENCE_GRACE": "1500ms"}
EXECUTIONS = "/executions"


class Node:
    """One container: what it says, and what can be done to it from outside."""

    def __init__(self, name: str, started: DockerContainer) -> None:
        self.name = name
        self._started = started
        self._last_words = ""

    @property
    def container(self) -> Container:
        """The engine's own view of it."""
        return self._started.get_wrapped_container()

    def said(self) -> str:
        """Returns all that it wrote, on both streams."""
        with suppress(docker.errors.NotFound):
            self._last_words = self.container.logs().decode("utf-8", "replace")
        return self._last_words

    def lines(self) -> list[dict[str, Any]]:
        """Returns what it wrote on standard output, a JSON object a line."""
        out = self.container.logs(stdout=True, stderr=False).decode()
        return [json.loads(line) for line in out.splitlines()]

    def state(self) -> dict[str, Any]:
        """Returns what the engine knows of it now."""
        self.container.reload()
        state: dict[str, Any] = self.container.attrs["State"]
        return state

    @property
    def running(self) -> bool:
        """Whether its process has not ended."""
        return bool(self.state()["Running"])

    @property
    def exit_code(self) -> int:
        """How its process ended."""
        return int(self.state()["ExitCode"])

    @property
    def health(self) -> str:
        """What its health check says: starting, healthy or unhealthy."""
        return str(self.state()["Health"]["Status"])

    def run(self, *words: str) -> tuple[int, str]:
        """Runs a program in it; returns its exit code and what it said."""
        code, output = self.container.exec_run(list(words))
        return code, output.decode()

    def kill(self) -> None:
        """Kills it as `docker kill` does, without a word."""
        self.container.kill()
        self.container.wait(timeout=30)

    def stop(self, timeout_s: int = 10) -> int:
        """Asks it to stop as `docker stop` does, and kills it after a time; its exit code."""
        self.container.stop(timeout=timeout_s)
        return self.exit_code

    def start(self) -> None:
        """Starts it again after its end, on its volume and network."""
        self.container.start()

    def pause(self) -> None:
        """Freezes all its processes; the kernel keeps its connections open."""
        self.container.pause()

    def unpause(self) -> None:
        """Lets them go on."""
        self.container.unpause()

    def remove(self) -> None:
        """Makes it go, whatever it does; what it said is kept."""
        self.said()
        with suppress(docker.errors.NotFound):
            self.container.remove(force=True)


class ContainerCluster:
    """Starts containers that find each other."""

    def __init__(self, engine: docker.DockerClient, images: Images, folder: Path) -> None:
        self.images = images
        self.folder = folder
        folder.chmod(0o777)  # who works in a container is not who tests
        self.nodes: list[Node] = []
        self._engine = engine
        self._network = Network().create()
        self._mark = uuid.uuid4().hex[:8]
        self._port = _free_port()
        self._volume = engine.volumes.create(f"pullwork-test-{self._mark}")

    @property
    def address(self) -> str:
        """Where clients outside find the master, whichever container that is."""
        return f"127.0.0.1:{self._port}"

    def master(self, image: str = "", name: str = "master", **settings: str) -> Node:
        """Starts a master on the volume of this cluster."""
        env = {f"PULLWORK_MASTER_{key}": value for key, value in (BRISK | settings).items()}
        made = DockerContainer(image or self.images.master, env=env, **HARDENED)
        made.with_network(self._network).with_network_aliases("master")
        made.with_bind_ports(PORT, self._port)
        made.with_volume_mapping(self._volume.name, "/var/lib/pullwork", "rw")
        return self._start(name, made)

    def worker(self, name: str, image: str = "", **settings: str) -> Node:
        """Starts a worker with the tasks of the fault harness, which finds the master by itself."""
        settings = {"NAME": name, "SLOTS": "2"} | settings
        env = {f"PULLWORK_WORKER_{key}": value for key, value in settings.items()}
        env |= {"PULLWORK_ADDRESS": f"master:{PORT}", FOLDER: EXECUTIONS}
        # What it writes into a folder of this machine, whoever tests must be able to read.
        options = HARDENED | ({"user": str(os.geteuid())} if os.geteuid() else {})
        made = DockerContainer(image or self.images.tasks, env=env, **options)
        made.with_network(self._network)
        made.with_volume_mapping(self.folder, EXECUTIONS, "rw")
        return self._start(name, made)

    def alone(self, name: str, image: str, env: dict[str, str], **options: Any) -> Node:
        """Starts an image with this environment and nobody to talk to."""
        return self._start(name, DockerContainer(image, env=env, **(HARDENED | options)))

    def disconnect(self, node: Node) -> None:
        """Takes a container off the network."""
        self._engine.networks.get(self._network.id).disconnect(node.container, force=True)

    def reconnect(self, node: Node, alias: str = "") -> None:
        """Puts it back, under the name that others look for."""
        network = self._engine.networks.get(self._network.id)
        network.connect(node.container, aliases=[alias] if alias else None)

    def story(self) -> str:
        """Returns what everybody said, for a test that failed."""
        return "\n".join(f"--- {node.name}\n{node.said()[-6000:]}" for node in self.nodes)

    def close(self) -> None:
        """Leaves nothing behind."""
        for node in self.nodes:
            node.remove()
        self._network.remove()
        self._volume.remove(force=True)

    def _start(self, name: str, made: DockerContainer) -> Node:
        made.with_name(f"pullwork-test-{self._mark}-{name}-{len(self.nodes)}")
        node = Node(name, made)
        self.nodes.append(node)
        made.start()
        return node


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port
