"""The catalogue as Prometheus' HTTP service discovery wants it: a list of targets with labels.

What is UNHEALTHY is a target too: its metrics are worth most when it is not well. Who wants the
others only keeps those of `__meta_pullwork_state`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from pullwork_master.gateway.discovery.catalogue import Endpoint

PATH: Final = "/discovery/prometheus"
PARAMETERS: Final = ("service", "port")
_PREFIX: Final = "__meta_pullwork_"
# What may not stand in the name of a label of Prometheus.
_NO_NAME: Final = re.compile(r"[^a-zA-Z0-9_]")


def targets(endpoints: Iterable[Endpoint], port: str = "") -> list[dict[str, Any]]:
    """Returns a group for each endpoint; with `port`, for those of that name."""
    return [
        {"targets": [each.address], "labels": _labels(each)}
        for each in endpoints
        if not port or each.port_name == port
    ]


def _labels(each: Endpoint) -> dict[str, str]:
    # Of two labels that differ in such letters alone the one that comes later by name stands.
    own = {f"label_{_NO_NAME.sub('_', key)}": value for key, value in sorted(each.labels.items())}
    own |= {
        "service": each.service,
        "instance": each.instance,
        "node": each.node,
        "port_name": each.port_name,
        "state": "HEALTHY" if each.healthy else "UNHEALTHY",
    }
    return {f"{_PREFIX}{key}": value for key, value in own.items()}
