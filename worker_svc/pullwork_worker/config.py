"""The worker's settings: section `worker` of the file, `PULLWORK_WORKER_*`, and flags."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pullwork.log import Format, Level
from pullwork.settings import (
    Allowed,
    DefaultText,
    Duration,
    HostPort,
    MasterAddress,
    Section,
    Size,
)

NAME_CHARS_MAX = 128
NODE_CHARS_MAX = 100


def default_slots() -> int:
    """Returns how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_name() -> str:
    """Returns host and process: a name for people."""
    return f"{socket.gethostname()}-{os.getpid()}"[-NAME_CHARS_MAX:]


def default_node() -> str:
    """Returns the host name: it stays over restarts."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).lstrip("._-")
    return name[:NODE_CHARS_MAX] or "node"


def default_state() -> Path:
    """Returns where a program keeps what is to outlive it, by the XDG rules."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(base) / "pullwork" / "node"


class WorkerSettings(Section):
    """Which master a worker pulls from, what it can do, and how much at once."""

    section: ClassVar[str] = "worker"

    address: MasterAddress = Field(
        default="127.0.0.1:7733", description="The master to pull work from, as host:port."
    )
    name: Annotated[str, DefaultText("host name and process id")] = Field(
        default_factory=default_name,
        description="The worker's name, for people.",
        min_length=1,
        max_length=NAME_CHARS_MAX,
    )
    tasks: list[str] = Field(
        default=[], description="The modules to take functions with @task from."
    )
    commands: dict[str, str] = Field(
        default={},
        description="Types that programs do: the payload comes on stdin, the result is stdout. "
        "Written as type = 'program argument …'.",
    )
    command_content_types: dict[str, str] = Field(
        default={},
        description="What the result of a program is, by type; application/octet-stream "
        "where nothing is said.",
    )
    queues: list[str] = Field(
        default=["default"], min_length=1, max_length=64, description="The queues to serve."
    )
    slots: Annotated[int, DefaultText("the number of processors")] = Field(
        default_factory=default_slots,
        ge=1,
        le=10_000,
        description="How many tasks to run at once; functions written with def run in as many "
        "child processes.",
    )
    look_ahead_max: int = Field(
        default=1000,
        ge=0,
        le=10_000,
        description="How many tickets it may hold beyond its slots; in any case no more than "
        "20 ms of work for each slot, as measured, so none for long tasks.",
    )
    memory_limit: Size | None = Field(
        default=None,
        ge=128 * 1024 * 1024,
        description="How much address space each child process may have; a task that wants more "
        "fails with MemoryError.",
    )
    stop_grace: Duration = Field(
        default=2.0,
        le=3600,
        description="How long a task that is cancelled, or whose time is over, may take to end "
        "before its process is killed.",
    )
    drain_grace: Duration = Field(
        default=30.0,
        le=86400,
        description="How long running tasks may take when the worker drains (SIGTERM, SIGINT, or "
        "pullwork drain); then they are cut off and go back to their queues.",
    )
    labels: dict[str, str] = Field(
        default={}, max_length=64, description="Free words about this node."
    )
    offer: list[Literal["process", "container"]] = Field(
        default=[],
        max_length=2,
        description="What instances of services it keeps on this node: process (programs of the "
        "node), container (needs a container engine), or both. Its tasks, if it has any, are "
        "apart from them.",
    )
    node: Annotated[
        str,
        DefaultText("host name"),
        Allowed("letters, digits, '.', '_' and '-', beginning with a letter or digit"),
    ] = Field(
        default_factory=default_node,
        description="The node's name, by which its instances are found again: the same after "
        "every start, and another for each worker that offers instances.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=NODE_CHARS_MAX,
    )
    instances_max: int = Field(
        default=100, ge=1, le=10_000, description="How many instances it keeps at once."
    )
    state: Annotated[Path, DefaultText("pullwork/node in $XDG_STATE_HOME")] = Field(
        default_factory=default_state,
        description="The folder for what must outlive this worker: the files and logs of its "
        "processes.",
    )
    advertise_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        max_length=255,
        description="The host by which others reach the instances of this node.",
    )
    publish_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        max_length=255,
        description="The address of this node at which the ports of its containers are published; "
        "0.0.0.0 opens them to the network.",
    )
    engine: Annotated[str, DefaultText("$DOCKER_HOST, or unix:///var/run/docker.sock")] | None = (
        Field(
            default=None,
            description="Where the container engine is, e.g. unix:///run/podman/podman.sock. "
            "Whoever may speak to it is root on its machine.",
        )
    )
    images: list[str] = Field(
        default=["*"],
        description="The images that may run here, with * for any characters, e.g. "
        "registry.example.com/team/*. By default any may.",
    )
    pass_env: list[str] = Field(
        default=["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"],
        description="The variables of this worker that its process instances get, too; nothing "
        "else of its environment reaches them.",
    )
    health_listen: HostPort | None = Field(
        default=None,
        description="Where to answer health checks (grpc.health.v1): the service '' says that the "
        "process is well, 'connected' that its master answers. It listens nowhere by default.",
    )
    log_level: Level = Field(default="info", description="The least level to log.")
    log_format: Format = Field(
        default="auto", description="How to log: auto is human on a terminal, else json."
    )
