"""How moments, spans, states and payloads are written for people."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Final

from pullwork.cli.documents import is_json

if TYPE_CHECKING:
    from pullwork.payload import Encoded
    from pullwork.service_info import InstanceExit, InstanceInfo, ServiceInfo
    from pullwork.task_info import Failure, TaskInfo

_STYLES: Final = {
    "SCHEDULED": "cyan",
    "QUEUED": "blue",
    "RUNNING": "yellow",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "CANCELLED": "magenta",
    "CONNECTED": "green",
    "SUSPECT": "yellow",
    "EXPIRED": "red",
    "PENDING": "cyan",
    "PULLING": "cyan",
    "STARTING": "yellow",
    "HEALTHY": "green",
    "UNHEALTHY": "red",
    "STOPPING": "magenta",
    "ROLLING": "yellow",
    "DONE": "green",
    "RETURNING": "red",
    "RETURNED": "red",
    "PAUSED": "red",
}
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def styled(state: str) -> str:
    """Returns a state in its colour, as Rich markup."""
    style = _STYLES.get(state)
    return f"[{style}]{state}[/]" if style else state


def span(seconds: float) -> str:
    """Returns a span of time in its two largest units, e.g. `2h 5m`."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    if seconds < 10:
        return f"{seconds:.1f}s"
    rest = round(seconds)
    parts = []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def ago(moment: datetime.datetime | None, now: datetime.datetime) -> str:
    """Returns how long ago a moment was, or how far ahead it is; empty where there is none."""
    if moment is None:
        return ""
    seconds = (now - moment).total_seconds()
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"


def at(moment: datetime.datetime | None, now: datetime.datetime) -> str:
    """Returns a moment in local time, with how long ago it was."""
    if moment is None:
        return ""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S} ({ago(moment, now)})"


def now_utc() -> datetime.datetime:
    """Returns the present moment."""
    return datetime.datetime.now(datetime.UTC)


def payload_text(payload: Encoded | None) -> str:
    """Returns a payload as text: JSON indented, other text as it is, bytes by their number."""
    if payload is None:
        return ""
    if is_json(payload.content_type):
        try:
            return json.dumps(json.loads(payload.data), indent=2, ensure_ascii=False)
        except ValueError:
            pass  # it says JSON and is none
    if payload.content_type.startswith("text/"):
        return payload.data.decode("utf-8", "replace")
    return f"{len(payload.data)} bytes of {payload.content_type or 'no type'}"


def failure_text(failure: Failure | None) -> str:
    """Returns a failure in one line."""
    if failure is None:
        return ""
    name = f"{failure.type}: " if failure.type else ""
    return " ".join(f"{failure.kind}: {name}{failure.message}".split())


def news_of(task: TaskInfo) -> str:
    """Returns what is worth knowing of a task beside its state, in a few words."""
    if task.state == "RUNNING":
        progress = task.progress
        done = f" {progress.fraction:.0%} {progress.message}".rstrip() if progress else ""
        return f"on {task.worker}{done}"
    if task.failure is not None:
        return failure_text(task.failure)
    if task.state == "SCHEDULED":
        return ago(task.ready_at, now_utc())
    return ""


def exit_text(ended: InstanceExit | None) -> str:
    """Returns how an instance ended the last time, in one line."""
    if ended is None:
        return ""
    code = "" if ended.code is None or str(ended.code) in ended.reason else f" ({ended.code})"
    return " ".join(f"{ended.reason}{code}".split())


def why_of(instance: InstanceInfo) -> str:
    """Returns what is worth knowing of an instance beside its state, in a few words."""
    said = ["its node can't be reached"] if instance.disconnected else []
    if instance.reason:
        said.append(" ".join(instance.reason.split()))
    elif instance.last_exit is not None and instance.state != "HEALTHY":
        said.append(f"before: {exit_text(instance.last_exit)}")
    return "; ".join(said)


def addresses_of(instance: InstanceInfo) -> str:
    """Returns where an instance can be reached; names where there are several."""
    found = instance.addresses
    host = {it: f"[{it.host}]" if ":" in it.host else it.host for it in found}
    if len(found) == 1:
        return f"{host[found[0]]}:{found[0].port}"
    return " ".join(f"{it.name}={host[it]}:{it.port}" for it in found)


def program_of(service: ServiceInfo) -> str:
    """Returns what a service runs: its image, or its command."""
    return service.spec.image or " ".join(service.spec.command or ())
