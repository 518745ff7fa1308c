"""The catalogue as Consul's HTTP API tells it: documents, field by field as its clients read them.

An instance is in Consul once for each of its ports. The first port has the name of the service, the
others `SERVICE_PORT`: no service and no port has a `_` in its name, so none of these is another's.
Tags are made of the service's labels and stand at the first port alone, because what reads
tags takes them for a wish about this very port: a proxy would lead the same route to all of them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Final

from pullwork_master.gateway.discovery.catalogue import Endpoint

# Consul's own default, so that a client that was told it finds it.
DATACENTER: Final = "dc1"
PASSING: Final = "passing"
CRITICAL: Final = "critical"
# `warning` is one of Consul's, though nothing here ever is.
STATES: Final = ("any", PASSING, "warning", CRITICAL)
_MASTER: Final = "pullwork"
_OTHER_PORT: Final = "_"
_NODES: Final = uuid.UUID("3c1d4be2-6f6f-5c0c-9d5e-9f1f6d0a7a11")


def service_of(name: str) -> str:
    """Returns the service that a name of Consul's belongs to."""
    return name.partition(_OTHER_PORT)[0]


def name_of(each: Endpoint) -> str:
    """Returns the name of a service of Consul's that an endpoint is one of."""
    return each.service if each.first else f"{each.service}{_OTHER_PORT}{each.port_name}"


def tags_of(each: Endpoint) -> list[str]:
    """Returns a tag `KEY=VALUE` for each label; a label without a value is the tag `KEY`."""
    if not each.first:
        return []
    return [f"{key}={value}" if value else key for key, value in sorted(each.labels.items())]


def named(endpoints: Iterable[Endpoint], name: str) -> list[Endpoint]:
    """Returns those of one of Consul's services."""
    return [each for each in endpoints if name_of(each) == name]


def tagged(endpoints: Iterable[Endpoint], tags: Sequence[str]) -> list[Endpoint]:
    """Returns those that have all these tags; as in Consul, whatever the case of letters."""
    wanted = {tag.lower() for tag in tags}
    return [each for each in endpoints if wanted <= {tag.lower() for tag in tags_of(each)}]


def services(endpoints: Iterable[Endpoint]) -> dict[str, list[str]]:
    """Returns the tags of each of Consul's services by its name."""
    found: dict[str, set[str]] = {}
    for each in endpoints:
        found.setdefault(name_of(each), set()).update(tags_of(each))
    return {name: sorted(tags) for name, tags in sorted(found.items())}


def nodes(endpoints: Iterable[Endpoint], index: int) -> list[dict[str, Any]]:
    """Returns the nodes that have endpoints."""
    found = {each.node: each for each in reversed(list(endpoints))}
    return [_node(each, index) for _, each in sorted(found.items())]


def catalog_service(endpoints: Iterable[Endpoint], index: int) -> list[dict[str, Any]]:
    """Returns what /v1/catalog/service/NAME tells of endpoints, well or not."""
    return [_catalog_entry(each, index) for each in endpoints]


def health_service(
    endpoints: Iterable[Endpoint], index: int, *, passing: bool = False
) -> list[dict[str, Any]]:
    """Returns what /v1/health/service/NAME tells of endpoints; with `passing`, of the well ones."""
    return [
        {
            "Node": _node(each, index),
            "Service": _service(each, index),
            "Checks": [_check(each, index)],
        }
        for each in endpoints
        if each.healthy or not passing
    ]


def checks(endpoints: Iterable[Endpoint], index: int, state: str = "any") -> list[dict[str, Any]]:
    """Returns the check of each endpoint that is in a state."""
    return [_check(each, index) for each in endpoints if state == "any" or _status(each) == state]


def agent_self(version: str) -> dict[str, Any]:
    """Returns what the master says of itself where a client asks its agent."""
    return {
        "Config": {
            "Datacenter": DATACENTER,
            "PrimaryDatacenter": DATACENTER,
            "NodeName": _MASTER,
            "NodeID": str(_NODES),
            "Server": True,
            "Revision": "pullwork",
            "Version": version,
        },
        "Member": {"Name": _MASTER, "Tags": {"dc": DATACENTER, "role": "consul"}, "Status": 1},
        "Meta": {},
    }


def _status(each: Endpoint) -> str:
    return PASSING if each.healthy else CRITICAL


def _node(each: Endpoint, index: int) -> dict[str, Any]:
    return {
        # Ours are names; clients expect something of this form.
        "ID": str(uuid.uuid5(_NODES, each.node)),
        "Node": each.node,
        "Address": each.host,
        "Datacenter": DATACENTER,
        "TaggedAddresses": {"lan": each.host, "wan": each.host},
        "Meta": {},
        "CreateIndex": index,
        "ModifyIndex": index,
    }


def _service_id(each: Endpoint) -> str:
    return each.instance if each.first else f"{each.instance}{_OTHER_PORT}{each.port_name}"


def _meta(each: Endpoint) -> dict[str, str]:
    own = {
        "pullwork_service": each.service,
        "pullwork_instance": each.instance,
        "pullwork_port": each.port_name,
    }
    return {**each.labels, **own}


def _service(each: Endpoint, index: int) -> dict[str, Any]:
    return {
        "ID": _service_id(each),
        "Service": name_of(each),
        "Tags": tags_of(each),
        "Address": each.host,
        "TaggedAddresses": {},
        "Meta": _meta(each),
        "Port": each.port,
        "Weights": {"Passing": 1, "Warning": 1},
        "EnableTagOverride": False,
        "Proxy": {"Mode": "", "MeshGateway": {}, "Expose": {}},
        "Connect": {},
        "CreateIndex": index,
        "ModifyIndex": index,
    }


def _catalog_entry(each: Endpoint, index: int) -> dict[str, Any]:
    node, service = _node(each, index), _service(each, index)
    return {
        "ID": node["ID"],
        "Node": node["Node"],
        "Address": node["Address"],
        "Datacenter": node["Datacenter"],
        "TaggedAddresses": node["TaggedAddresses"],
        "NodeMeta": node["Meta"],
        "ServiceKind": "",
        "ServiceID": service["ID"],
        "ServiceName": service["Service"],
        "ServiceTags": service["Tags"],
        "ServiceAddress": service["Address"],
        "ServiceTaggedAddresses": service["TaggedAddresses"],
        "ServiceWeights": service["Weights"],
        "ServiceMeta": service["Meta"],
        "ServicePort": service["Port"],
        "ServiceSocketPath": "",
        "ServiceEnableTagOverride": False,
        "ServiceProxy": service["Proxy"],
        "ServiceConnect": service["Connect"],
        "CreateIndex": index,
        "ModifyIndex": index,
    }


def _check(each: Endpoint, index: int) -> dict[str, Any]:
    state = "HEALTHY" if each.healthy else "UNHEALTHY"
    because = f": {each.reason}" if each.reason else ""
    return {
        "Node": each.node,
        "CheckID": f"service:{_service_id(each)}",
        "Name": f"Service '{name_of(each)}' check",
        "Status": _status(each),
        "Notes": "",
        # With the address: a client that compares checks sees a new one there as well.
        "Output": f"{state} at {each.address}{because}",
        "ServiceID": _service_id(each),
        "ServiceName": name_of(each),
        "ServiceTags": tags_of(each),
        "Type": "",
        "Interval": "",
        "Timeout": "",
        "ExposedPort": 0,
        "Definition": {},
        "CreateIndex": index,
        "ModifyIndex": index,
    }
