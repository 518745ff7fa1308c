"""Which ports of the node its processes get."""

from __future__ import annotations

import socket
from collections.abc import Collection
from typing import Final

from pullwork_worker.services.runner import START_FAILED, StartError

# Most systems hand out a free one at the first asking.
_TRIES: Final = 100


def choose(wanted: int, taken: Collection[int]) -> int:
    """Returns a port that nobody listens at and that no instance has; 0 wants any.

    Raises StartError if there is none.
    """
    if wanted:
        if wanted in taken:
            raise StartError(START_FAILED, f"the port {wanted} is another instance's")
        if why := _refusal(wanted):
            raise StartError(START_FAILED, why)
        return wanted
    for _ in range(_TRIES):
        with socket.socket() as probe:
            probe.bind(("", 0))
            port: int = probe.getsockname()[1]
        if port not in taken:
            return port
    raise StartError(START_FAILED, "this node has no free port")


def _refusal(port: int) -> str:
    """Returns why nothing can listen at a port, or nothing."""
    with socket.socket() as probe:
        # Else connections that ended a moment ago would keep it.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except PermissionError:
            return f"port {port} needs rights that the worker does not have; take one above 1023"
        except OSError:
            return f"something on this node listens at port {port} already"
    return ""
