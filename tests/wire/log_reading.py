"""Reading the logs of a service `web`, as a caller does."""

from __future__ import annotations

from typing import Any

from node_by_hand import texts
from wired_master import WiredMaster

from pullwork.v1 import orchestrator_service_pb2 as o
from pullwork_master.wire.log_relay import LogRelay

KIB = 1024


def logs(master: WiredMaster, **chosen: Any) -> Any:
    """Opens a stream of lines."""
    return master.services.WatchLogs(o.WatchLogsRequest(service="web", **chosen))


def relay(master: WiredMaster) -> LogRelay:
    """Returns what passes lines on."""
    (found,) = [
        owner
        for stop in master.server._stoppers
        if isinstance(owner := getattr(stop, "__self__", None), LogRelay)
    ]
    return found


async def all_lines(stream: Any) -> dict[str, list[str]]:
    """Reads a stream to its end; returns the lines of each instance."""
    told: dict[str, list[str]] = {}
    async for message in stream:
        told.setdefault(message.instance, []).extend(texts(message))
    return told
