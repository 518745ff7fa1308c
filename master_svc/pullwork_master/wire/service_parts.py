"""The parts of a service's spec: each checked and filled in where it stands.

Paths of fields begin at the spec: `ports[1].port`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite
from typing import Any, Final, NamedTuple

from pullwork.v1 import service_pb2 as pb
from pullwork_master.core import limits
from pullwork_master.wire import convert, fields

CPUS_MIN: Final = 0.01  # no container engine gives less
CPUS_MAX: Final = 1_024.0
MEMORY_MIN: Final = 6 * 1024 * 1024  # nor less memory than this
MEMORY_MAX: Final = 1 << 50
PORTS_MAX: Final = 64
PORT_MAX: Final = 65_535
ENV_MAX: Final = 256
WORDS_MAX: Final = 1_024
WORDS_BYTES_MAX: Final = 64 * 1024  # of a command, or of the environment
IMAGE_CHARS_MAX: Final = 512
HTTP_PATH_CHARS_MAX: Final = 2_048
FAILURES_MAX: Final = 100
SURGE_MAX: Final = 100
PER_NODE_MAX: Final = 10_000

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

_PORT_NAME: Final = re.compile(r"[a-z0-9-]{1,63}")
_HTTP_PATH: Final = re.compile(r"/[!-~]*")
# As the registries have it: [HOST[:PORT]/]PATH[:TAG][@DIGEST].
_IMAGE: Final = re.compile(
    r"(?:(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
    r"|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?/)?"
    r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
    r"(?:@[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
)


class Span(NamedTuple):
    """How long something may take, and how long it does if nothing is said; None: see there."""

    default_ms: int
    low_ms: int
    high_ms: int


INTERVAL: Final = Span(2 * SECOND_MS, 100, HOUR_MS)
TIMEOUT: Final = Span(2 * SECOND_MS, 10, 10 * MINUTE_MS)
START_PERIOD: Final = Span(30 * SECOND_MS, 0, HOUR_MS)
RESTART_AFTER: Final = Span(10 * SECOND_MS, 0, DAY_MS)
INITIAL_BACKOFF: Final = Span(SECOND_MS, 10, HOUR_MS)
MAX_BACKOFF: Final = Span(MINUTE_MS, 10, DAY_MS)
RESET_AFTER: Final = Span(MINUTE_MS, 0, DAY_MS)
REPLACE_AFTER: Final = Span(30 * SECOND_MS, 0, DAY_MS)
HEALTHY_FOR: Final = Span(2 * SECOND_MS, 0, HOUR_MS)
DEADLINE: Final = Span(2 * MINUTE_MS, SECOND_MS, DAY_MS)
STOP_GRACE: Final = Span(10 * SECOND_MS, 0, HOUR_MS)
# Callers behind a Traefik that is set up as our docs have it hear of it within 0.4 s, and within
# 1.5 s where twice as many programs want a processor as there are.
STOP_DELAY: Final = Span(2 * SECOND_MS, 0, 10 * MINUTE_MS)


def span(message: Any, name: str, place: str, bounds: Span) -> int:
    """Checks a duration of a message and fills it in; returns it in milliseconds."""
    field: Any = getattr(message, name)
    ms = bounds.default_ms
    if message.HasField(name):
        ms = fields.duration_ms(field, f"{place}{name}")
        if not bounds.low_ms <= ms <= bounds.high_ms:
            fields.refuse(
                f"{place}{name}",
                f"is {_words(ms)}; it must be from {_words(bounds.low_ms)} to "
                f"{_words(bounds.high_ms)}",
            )
    field.CopyFrom(convert.duration(ms))
    return ms


def _words(ms: int) -> str:
    for unit, name in ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min"), (SECOND_MS, "s")):
        if ms >= unit and ms % unit == 0:
            return "24 h" if ms == DAY_MS else f"{ms // unit} {name}"
    return f"{ms} ms" if ms else "0"


def image(value: str) -> None:
    """Takes a reference to an image, or none."""
    if not value:
        return
    fields.text(value, "image", IMAGE_CHARS_MAX)
    if _IMAGE.fullmatch(value) is None:
        fields.refuse(
            "image",
            f"is {value[:80]!r}; it must be a reference as nginx:1.27 or "
            "registry.example:5000/team/app@sha256:…: a path of small letters, without https://",
        )


def words(values: Sequence[str], field: str) -> None:
    """Takes a program and its arguments, or none."""
    fields.count(len(values), field, 0, WORDS_MAX)
    size = sum(len(each.encode()) for each in values)
    if size > WORDS_BYTES_MAX:
        fields.refuse(field, f"has {size} bytes in all; at most {WORDS_BYTES_MAX} are taken")
    for index, each in enumerate(values):
        if "\0" in each:
            fields.refuse(f"{field}[{index}]", "holds a zero character, which no argument can")
    if values and not values[0]:
        fields.refuse(f"{field}[0]", "is empty; it must be the program to run")


def ports(made: pb.ServiceSpec) -> None:
    """Checks the doors of an instance, and names them."""
    fields.count(len(made.ports), "ports", 0, PORTS_MAX)
    names: dict[str, int] = {}
    numbers: dict[int, int] = {}
    published: dict[int, int] = {}
    for index, port in enumerate(made.ports):
        place = f"ports[{index}]."
        _port(port, place, is_process=not made.image)
        for value, name, taken in (
            (port.port, "port", numbers),
            (port.host_port, "host_port", published),
        ):
            if value and taken.setdefault(value, index) != index:
                fields.refuse(
                    f"{place}{name}",
                    f"is {value}, as that of ports[{taken[value]}]; choose another",
                )
        port.name = port.name or (str(port.port) if port.port else "main")
        if names.setdefault(port.name, index) != index:
            fields.refuse(
                f"{place}name",
                f"is {port.name!r}, as that of ports[{names[port.name]}]; give each its own",
            )


def _port(port: pb.Port, place: str, *, is_process: bool) -> None:
    if port.name and _PORT_NAME.fullmatch(port.name) is None:
        fields.refuse(f"{place}name", f"is {port.name[:80]!r}; it must be 1 to 63 of a-z 0-9 -")
    if not is_process and not port.port:
        fields.refuse(f"{place}port", "is required: where the program in the container listens")
    fields.number(port.port, f"{place}port", 0, PORT_MAX)
    fields.number(port.host_port, f"{place}host_port", 0, PORT_MAX)
    if is_process and port.host_port not in {0, port.port}:
        fields.refuse(
            f"{place}host_port",
            f"is {port.host_port}, but a process listens on the node itself: set port to it, and "
            "leave host_port out",
        )


def env(entries: dict[str, str]) -> None:
    """Takes environment variables."""
    pairs(entries, "env", ENV_MAX, WORDS_BYTES_MAX)
    for name, value in entries.items():
        if "=" in name or "\0" in name:
            fields.refuse("env", f"has the name {name[:80]!r}; a name holds no = and no zero")
        if "\0" in value:
            fields.refuse("env", f"has a zero character in {name[:80]!r}, which no variable can")


def pairs(
    entries: dict[str, str],
    field: str,
    items_max: int = limits.WORKER_LABELS_MAX,
    bytes_max: int = limits.HEADERS_BYTES_MAX,
) -> None:
    """Takes a map of words whose names are not empty."""
    fields.pairs(entries, field, items_max, bytes_max)
    if "" in entries:
        fields.refuse(field, "has an entry without a name; name it, or leave it out")


def resources(made: pb.ServiceSpec) -> None:
    """Checks what one instance may take."""
    made.resources.SetInParent()
    cpus, memory = made.resources.cpus, made.resources.memory_bytes
    if not isfinite(cpus) or (cpus and not CPUS_MIN <= cpus <= CPUS_MAX):
        fields.refuse(
            "resources.cpus",
            f"is {cpus:g}; it must be from {CPUS_MIN:g} to {CPUS_MAX:g}, or 0: no bound",
        )
    if memory and not MEMORY_MIN <= memory <= MEMORY_MAX:
        fields.refuse(
            "resources.memory_bytes",
            f"is {memory}; it must be from {MEMORY_MIN} (6 MiB) to {MEMORY_MAX}, or 0: no bound",
        )


def health(made: pb.ServiceSpec) -> None:
    """Checks how it is told whether an instance is well, if it is; `ports` comes before."""
    if not made.HasField("health"):
        return
    check = made.health
    way = check.WhichOneof("way")
    if way is None:
        fields.refuse("health", "says no way; set one of tcp, http and command")
    if way == "command":
        words(check.command.command, "health.command.command")
        fields.count(len(check.command.command), "health.command.command", 1, WORDS_MAX)
    else:
        asked = check.tcp.port if way == "tcp" else check.http.port
        _port_of_check(made, asked, f"health.{way}.port")
    if way == "http":
        check.http.path = check.http.path or "/"
        fields.text(check.http.path, "health.http.path", HTTP_PATH_CHARS_MAX)
        if _HTTP_PATH.fullmatch(check.http.path) is None:
            fields.refuse(
                "health.http.path",
                f"is {check.http.path[:80]!r}; it must begin with / and be plain, e.g. /health",
            )
    span(check, "interval", "health.", INTERVAL)
    span(check, "timeout", "health.", TIMEOUT)
    check.failures = fields.number(check.failures or 3, "health.failures", 1, FAILURES_MAX)
    span(check, "start_period", "health.", START_PERIOD)
    span(check, "restart_after", "health.", RESTART_AFTER)


def _port_of_check(made: pb.ServiceSpec, asked: str, field: str) -> None:
    names = [port.name for port in made.ports]
    if not names:
        fields.refuse(field, "has nothing to ask; give the service a port in ports")
    if asked and asked not in names:
        fields.refuse(
            field,
            f"is {asked[:80]!r}, which is no port of the service; there are {', '.join(names)}",
        )


def restart(made: pb.ServiceSpec) -> None:
    """Checks how soon an instance that ended starts again."""
    policy = made.restart
    initial_ms = span(policy, "initial_backoff", "restart.", INITIAL_BACKOFF)
    longest = MAX_BACKOFF._replace(default_ms=max(MAX_BACKOFF.default_ms, initial_ms))
    if span(policy, "max_backoff", "restart.", longest) < initial_ms:
        fields.refuse("restart.max_backoff", "is shorter than initial_backoff; make it as long")
    span(policy, "reset_after", "restart.", RESET_AFTER)


def placement(made: pb.ServiceSpec) -> None:
    """Checks which nodes instances may run on."""
    made.placement.SetInParent()
    chosen = made.placement
    pairs(dict(chosen.constraints), "placement.constraints")
    fields.text(chosen.spread_by, "placement.spread_by", limits.NAME_CHARS_MAX)
    fields.number(chosen.max_per_node, "placement.max_per_node", 0, PER_NODE_MAX)


def disconnect(made: pb.ServiceSpec) -> None:
    """Checks what becomes of instances that can't be reached."""
    policy = made.disconnect
    policy.SetInParent()
    if not policy.wait:
        span(policy, "replace_after", "disconnect.", REPLACE_AFTER)
    elif policy.HasField("replace_after"):
        fields.refuse("disconnect.replace_after", "is set together with wait; set one of them")


def update(made: pb.ServiceSpec) -> None:
    """Checks how a change reaches the instances."""
    policy = made.update
    surge = policy.max_surge if policy.HasField("max_surge") else 1
    policy.max_surge = fields.number(surge, "update.max_surge", 0, SURGE_MAX)
    policy.max_unavailable = fields.number(
        policy.max_unavailable, "update.max_unavailable", 0, SURGE_MAX
    )
    if not (policy.max_surge or policy.max_unavailable):
        fields.refuse(
            "update.max_surge", "is 0, and so is max_unavailable; nothing could be changed so"
        )
    span(policy, "healthy_for", "update.", HEALTHY_FOR)
    span(policy, "deadline", "update.", DEADLINE)
    known = {value.number for value in pb.UpdateFailureAction.DESCRIPTOR.values}
    if policy.on_failure not in known:
        fields.refuse(
            "update.on_failure", f"is {policy.on_failure}, which is none; set RETURN or PAUSE"
        )
    policy.on_failure = policy.on_failure or pb.UPDATE_FAILURE_ACTION_RETURN


def stop_delay(made: pb.ServiceSpec) -> None:
    """Checks how long instances serve on that are to end: without ports nobody calls them."""
    bounds = STOP_DELAY if made.ports else STOP_DELAY._replace(default_ms=0)
    span(made, "stop_delay", "", bounds)
