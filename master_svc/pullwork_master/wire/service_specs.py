"""From what somebody wants of a service to what is kept: all is checked, each default filled in.

What is filled in is what is shown again, so that it can be sent back as it is and changes
nothing; and two specs that mean the same are the same, so that no instance is replaced by its
like. But a reference stays one: an empty `port` of a health check is the first port, whichever
that will be.
"""

from __future__ import annotations

import re
from typing import Final

from pullwork.v1 import service_pb2 as pb
from pullwork_master.core.rejections import Rejection
from pullwork_master.wire import fields, service_parts

INSTANCES_MAX: Final = 10_000  # more than one master places: beyond that it is a slip
# REST has this at the place of a name: /services/watch.
RESERVED: Final = "watch"
_NAME: Final = re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?")


def name(value: str, field: str) -> str:
    """Takes the name of a service."""
    if not value:
        fields.refuse(field, "is required")
    if _NAME.fullmatch(value) is None:
        fields.refuse(
            field,
            f"is {value[:80]!r}; it must be 1 to 40 of a-z 0-9 -, begin with a letter and not end "
            "with -",
        )
    return value


def new_name(value: str, field: str) -> str:
    """Takes the name of a service that is to be made."""
    if name(value, field) == RESERVED:
        fields.refuse(field, f"is {value!r}, which is a word of our own; choose another")
    return value


def instances(value: int, field: str) -> int:
    """Takes how many instances there are to be."""
    return fields.number(value, field, 0, INSTANCES_MAX)


def merged(current: pb.ServiceSpec, changes: pb.ServiceSpec) -> pb.ServiceSpec:
    """Returns a spec with those fields replaced, whole, that the changes have.

    An empty list or map can't be told from none, so it changes nothing; to empty one, all is
    replaced.
    """
    made = pb.ServiceSpec()
    made.CopyFrom(current)
    for field, _ in changes.ListFields():
        made.ClearField(field.name)  # type: ignore[arg-type]
    made.MergeFrom(changes)
    return made


def filled(spec: pb.ServiceSpec, path: str = "spec") -> pb.ServiceSpec:
    """Checks a spec and returns it with every default; `path` names it in refusals."""
    made = pb.ServiceSpec()
    made.CopyFrom(spec)
    try:
        _fill(made)
    except Rejection as rejection:
        raise fields.within(f"{path}.", rejection) from None
    return made


def _fill(made: pb.ServiceSpec) -> None:
    made.instances = instances(made.instances if made.HasField("instances") else 1, "instances")
    made.image = made.image
    service_parts.image(made.image)
    service_parts.words(made.command, "command")
    if not made.image and not made.command:
        fields.refuse(
            "image", "is empty, and so is command; name an image, or a command to run as a process"
        )
    service_parts.ports(made)
    service_parts.env(dict(made.env))
    service_parts.resources(made)
    service_parts.health(made)
    service_parts.restart(made)
    service_parts.placement(made)
    service_parts.disconnect(made)
    service_parts.update(made)
    service_parts.span(made, "stop_grace", "", service_parts.STOP_GRACE)
    service_parts.stop_delay(made)
    service_parts.pairs(dict(made.labels), "labels")
