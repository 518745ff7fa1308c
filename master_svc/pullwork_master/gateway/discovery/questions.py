"""What a client of Consul asks: a path and its parameters, read or refused.

A parameter that narrows the answer and is not understood is refused: an answer that holds more
than was asked for would have a proxy lead its callers astray. All others are passed over, as
Consul does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final
from urllib.parse import unquote

from pullwork_master.gateway.discovery import consul

ROOT: Final = "/v1/"
WAIT_S: Final = 300.0
WAIT_S_MAX: Final = 600.0
# As Go writes durations.
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h)")
_UNITS_S: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_FALSE: Final = frozenset({"0", "f", "false"})
_TRUE: Final = frozenset({"", "1", "t", "true"})
_INDEX_MAX: Final = 2**64
# What only Consul's enterprise edition has; the value that means nothing special there.
_ENTERPRISE: Final = {"ns": "default", "partition": "default", "peer": "", "sg": ""}
# Paths that tell of endpoints; what follows the last `/` of some is a name.
LISTS: Final = frozenset({"catalog/services", "catalog/nodes"})
NAMED: Final = frozenset({"catalog/service", "health/service", "health/checks", "health/state"})
# Paths that tell of the master, which never change.
FIXED: Final = frozenset({"catalog/datacenters", "agent/self", "status/leader", "status/peers"})


class ConsulRefusal(Exception):
    """A request that is answered with a status and a line of text, as Consul does."""

    status: ClassVar[int] = 400


class UnknownDatacenterError(ConsulRefusal):
    """There is but one datacenter."""

    status = 500


class NoLeaderError(ConsulRefusal):
    """Nobody knows yet what there is."""

    status = 500


class UnknownPathError(ConsulRefusal):
    """There is nothing at this path."""

    status = 404


class TooManyWaitError(ConsulRefusal):
    """No more requests may wait for a change."""

    status = 429


class NotReadOnlyError(ConsulRefusal):
    """Nothing can be written."""

    status = 405


@dataclass(frozen=True)
class Question:
    """What is asked. `kind` is one of the paths above, `name` what follows it."""

    kind: str
    name: str = ""
    tags: tuple[str, ...] = ()
    passing: bool = False
    # 0: answer at once; else answer as soon as the index is another one, or after `wait_s`.
    index: int = 0
    wait_s: float = WAIT_S

    @property
    def service(self) -> str:
        """The service whose changes matter; empty: those of all."""
        return (
            ""
            if self.kind in LISTS or self.kind == "health/state"
            else consul.service_of(self.name)
        )


def read(raw_path: str, query: Iterable[tuple[str, str]]) -> Question:
    """Reads a request's path, not decoded yet, and its parameters. Errors: ConsulRefusal."""
    kind, name = _path(raw_path.removeprefix(ROOT))
    # As in Go: the first of several values counts, but for those that may stand twice.
    pairs = list(query)
    first: dict[str, str] = {}
    for key, value in pairs:
        first.setdefault(key, value)
    _refuse_what_narrows(first)
    if "stale" in first and "consistent" in first:
        raise ConsulRefusal("Cannot specify ?stale with ?consistent, conflicting semantics.")
    return Question(
        kind,
        name,
        tuple(value for key, value in pairs if key == "tag" and value),
        _flag(first, "passing"),
        _index(first.get("index", "")),
        _wait(first.get("wait", "")),
    )


def _path(path: str) -> tuple[str, str]:
    if path in LISTS or path in FIXED:
        return path, ""
    kind, _, part = path.rpartition("/")
    if kind not in NAMED or not part:
        told = ", ".join(f"{ROOT}{each}" for each in sorted(LISTS | FIXED))
        more = ", ".join(f"{ROOT}{each}/NAME" for each in sorted(NAMED))
        raise UnknownPathError(
            f"There is nothing at {ROOT}{path[:200]!r} here. Of Consul's HTTP API this master "
            f"answers: {told}, {more}."
        )
    name = unquote(part, errors="replace")
    if kind == "health/state" and name not in consul.STATES:
        raise ConsulRefusal(f"No state {name[:80]!r}; there are: {', '.join(consul.STATES)}")
    return kind, name


def _refuse_what_narrows(first: Mapping[str, str]) -> None:
    if first.get("filter"):
        raise ConsulRefusal(
            "filter: no expressions are understood here; use tag= and passing, or choose among "
            "what is answered"
        )
    if "node-meta" in first:
        raise ConsulRefusal("node-meta: nodes have no metadata here; leave it out")
    for key, usual in _ENTERPRISE.items():
        if first.get(key, usual) not in {"", usual}:
            raise ConsulRefusal(f'Invalid query parameter: "{key}" is of Consul Enterprise')
    dc = first.get("dc", "")
    if dc not in {"", consul.DATACENTER}:
        raise UnknownDatacenterError(
            f"No path to datacenter: {dc[:80]!r}; the only one here is {consul.DATACENTER!r}"
        )


def _flag(first: Mapping[str, str], key: str) -> bool:
    value = first.get(key, "false").lower()
    if value not in _TRUE | _FALSE:
        raise ConsulRefusal(f"Invalid value for ?{key}: {value[:80]!r} is neither true nor false")
    return value in _TRUE


def _index(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) < _INDEX_MAX):
        raise ConsulRefusal(f"Invalid index: {text[:80]!r} is no number from 0 to 2^64 - 1")
    return int(text)


def _wait(text: str) -> float:
    if not text or text == "0":
        return WAIT_S
    parts = _DURATION.findall(text[:80])
    if "".join(parts) != text:
        raise ConsulRefusal(f"Invalid wait time: {text[:80]!r}; write it like 30s or 5m")
    total = sum(_in_seconds(part) for part in parts)
    return min(total, WAIT_S_MAX) or WAIT_S


def _in_seconds(part: str) -> float:
    number = part.rstrip("nuµmsh")
    return float(number) * _UNITS_S[part[len(number) :]]
