"""Short ways to write a message in JSON, for those who type it: a port is a number, or a text.

They are a convenience of this door, not part of the contract, and answers never use them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from google.protobuf.descriptor import Descriptor

from pullwork_master.gateway.refusals import refuse_field


class Short(NamedTuple):
    """How a message is written short: read by `read` (None: it is none), and shown as `schemas`."""

    read: Callable[[object], dict[str, object] | None]
    says: str
    schemas: tuple[Mapping[str, Any], ...]


_NAMED: Final = re.compile(r"(?:(?P<name>[^=:]+)=)?(?:(?P<host_port>\d{1,9}):)?(?P<port>\d{1,9})")
_NAME: Final = re.compile(r"[a-z0-9-]*[a-z][a-z0-9-]*")
_PORT_SAYS: Final = (
    '80, "http=80", "8080:80" (published there on its node), or only a name for a free port of a '
    "process"
)


def _port(item: object) -> dict[str, object] | None:
    if isinstance(item, int) and not isinstance(item, bool):
        return {"port": item}
    if not isinstance(item, str):
        return None
    if found := _NAMED.fullmatch(item):
        told = {key: value for key, value in found.groupdict().items() if value}
        return {key: value if key == "name" else int(value) for key, value in told.items()}
    return {"name": item} if _NAME.fullmatch(item) else None


_SHORT: Final = {
    "pullwork.v1.Port": Short(
        _port,
        _PORT_SAYS,
        (
            {"type": "integer", "format": "int32", "description": "Its `port`."},
            {"type": "string", "description": f"In short: {_PORT_SAYS}."},
        ),
    )
}


def short_of(descriptor: Descriptor) -> Short | None:
    """Returns how a message is written short, if it can be."""
    return _SHORT.get(descriptor.full_name)


def expanded(descriptor: Descriptor, item: object, name: str) -> object:
    """Returns what an item means that may be written short; `name` is its path.

    Errors: InvalidFieldError.
    """
    short = short_of(descriptor)
    if short is None or isinstance(item, dict):
        return item
    meant = short.read(item)
    if meant is None:
        raise refuse_field(name, f"can't be read; write it as an object, or short: {short.says}")
    return meant
