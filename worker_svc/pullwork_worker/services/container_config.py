"""What the engine is told about an instance: its container's name, labels and bounds.

Only what stands here reaches the engine. A spec can't ask for more: there are no mounts, no
privileges, no network or namespace of the host.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Final

from pullwork.v1 import service_pb2 as pb
from pullwork_worker.services.order import InvalidOrderError, Order, order_of
from pullwork_worker.services.runner import Scope

CLUSTER: Final = "pullwork.cluster"
NODE: Final = "pullwork.node"
TASK: Final = "pullwork.task"
SPEC: Final = "pullwork.spec"

# What images of servers need to take their ports, give up root and own their files: of the
# engine's default without those for raw sockets, devices, file capabilities and audits.
CAPABILITIES: Final = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETGID",
    "SETUID",
)
# Enough for any server, and few enough that a fork bomb stays in its container.
PIDS_MAX: Final = 2048
# As a process has: two files of 8 MiB.
_LOG: Final = {"Type": "json-file", "Config": {"max-size": "8m", "max-file": "2"}}


def container_name(order: Order) -> str:
    """Returns the name by which the engine makes but one container of a task."""
    return f"pullwork-{re.sub('[^A-Za-z0-9_.-]', '-', order.instance_id)}-{order.task_id}"


def container_config(order: Order, scope: Scope, publish_host: str) -> dict[str, Any]:
    """Returns what the engine makes a container of."""
    env = dict(order.env)
    env |= {"PULLWORK_INSTANCE": order.instance_id, "PULLWORK_SERVICE": order.service}
    bindings: dict[str, list[dict[str, str]]] = {}
    for it in order.ports:
        binding = {"HostIp": publish_host, "HostPort": str(it.host_port or "")}
        bindings.setdefault(f"{it.port}/tcp", []).append(binding)
    config: dict[str, Any] = {
        "Image": order.image,
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Labels": {
            CLUSTER: scope.cluster,
            NODE: scope.node,
            TASK: order.task_id,
            "pullwork.instance": order.instance_id,
            "pullwork.service": order.service,
            "pullwork.version": str(order.version),
            SPEC: base64.b64encode(_without_secrets(order.payload)).decode(),
        },
        "ExposedPorts": {port: {} for port in bindings},
        "HostConfig": {
            # Who starts it again is the master, never the engine.
            "RestartPolicy": {"Name": "no"},
            "PortBindings": bindings,
            "Memory": order.memory_bytes,
            "MemorySwap": order.memory_bytes,
            "NanoCpus": int(order.cpus * 1e9),
            "PidsLimit": PIDS_MAX,
            "CapDrop": ["ALL"],
            "CapAdd": list(CAPABILITIES),
            "SecurityOpt": ["no-new-privileges"],
            "Privileged": False,
            "Init": True,
            "LogConfig": _LOG,
        },
    }
    if order.command:
        config["Entrypoint"] = list(order.command)
    return config


def is_ours(labels: Mapping[str, str], scope: Scope) -> bool:
    """Returns whether a container is an instance of this cluster and node."""
    return labels.get(CLUSTER) == scope.cluster and labels.get(NODE) == scope.node


def order_in(labels: Mapping[str, str]) -> Order | None:
    """Returns the instance that a container was made for; None if it does not say."""
    try:
        return order_of(labels[TASK], base64.b64decode(labels[SPEC]))
    except (KeyError, ValueError, InvalidOrderError):
        return None


def _without_secrets(payload: bytes) -> bytes:
    """Leaves out the environment, which may be large, and what came of earlier starts."""
    instance = pb.InstanceSpec.FromString(payload)
    instance.spec.ClearField("env")
    instance.ClearField("last_exit")
    return instance.SerializeToString()
