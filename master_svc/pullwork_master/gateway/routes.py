"""Which call answers at which path: made from the `google.api.http` annotations of the contract.

A path of the contract consists of words and of variables (`{name}`), which stand for one part
each. Parts are cut before they are decoded, so a queue called `a/b` is `/queues/a%2Fb`. Where two
paths fit, the one with a word earlier goes first, whatever the method.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from urllib.parse import unquote_to_bytes

from google.api.annotations_pb2 import http as http_rule
from google.api.http_pb2 import HttpRule
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, MethodDescriptor

from pullwork_master.gateway.refusals import (
    MethodNotAllowedError,
    NoSuchPathError,
    refuse_field,
)

_VARIABLE: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_WORD: Final = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Route:
    """One path of one call."""

    verb: str
    parts: tuple[str, ...]
    # `*`: the body is the whole request; a name: that field of it; empty: there is none.
    body: str
    method: MethodDescriptor

    @cached_property
    def variables(self) -> dict[int, str]:
        """The names of fields by the place of their part."""
        found = ((at, _VARIABLE.fullmatch(part)) for at, part in enumerate(self.parts))
        return {at: match[1] for at, match in found if match is not None}

    @property
    def call(self) -> str:
        """The call as gRPC names it."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    @property
    def request(self) -> Descriptor:
        """What the call takes."""
        return self.method.input_type

    @property
    def makes(self) -> bool:
        """Whether the call makes what the path names."""
        return self.verb == "POST" and self.method.name.startswith("Create")

    def fits(self, parts: tuple[str, ...]) -> bool:
        """Says whether a path is one of this route."""
        return len(parts) == len(self.parts) and all(
            bool(part) if at in self.variables else part == self.parts[at]
            for at, part in enumerate(parts)
        )


class Routes:
    """All paths of some services."""

    def __init__(self, services: Iterable[str]) -> None:
        self.all = tuple(route for service in services for route in _routes(service))

    def find(self, verb: str, raw_path: str) -> tuple[Route, dict[str, str]]:
        """Returns the route of a request, and the values of its variables by field.

        Errors: NoSuchPathError, MethodNotAllowedError, InvalidFieldError.
        """
        parts = tuple(raw_path.removeprefix("/").split("/"))
        fitting = [route for route in self.all if route.fits(parts)]
        if not fitting:
            raise NoSuchPathError(
                f"there is nothing at {raw_path[:200]!r}; GET /openapi.json tells what there is"
            )
        best = min(map(_rank, fitting))
        here = {route.verb: route for route in fitting if _rank(route) == best}
        if "GET" in here:
            here["HEAD"] = here["GET"]
        if verb not in here:
            allowed = ", ".join(sorted(here))
            raise MethodNotAllowedError(
                f"{verb} is not taken here; allowed: {allowed}", headers={"Allow": allowed}
            )
        route = here[verb]
        return route, {name: _decoded(parts[at], name) for at, name in route.variables.items()}


def _rank(route: Route) -> tuple[bool, ...]:
    """Orders routes of one length: a word goes before a variable, from the left."""
    return tuple(at in route.variables for at in range(len(route.parts)))


def _decoded(part: str, name: str) -> str:
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise refuse_field(name, "is not UTF-8 in the path") from None


def _routes(service: str) -> Iterator[Route]:
    for method in descriptor_pool.Default().FindServiceByName(service).methods:
        options = method.GetOptions()
        if options.HasExtension(http_rule):
            rule = options.Extensions[http_rule]
            for each in (rule, *rule.additional_bindings):
                yield _route(each, method)


def _route(rule: HttpRule, method: MethodDescriptor) -> Route:
    verb = rule.WhichOneof("pattern")
    assert verb in {"get", "put", "post", "delete", "patch"}, f"{method.name} has no path"
    path: str = getattr(rule, verb)
    parts = tuple(path.removeprefix("/").split("/"))
    for part in parts:
        assert _WORD.fullmatch(part) or _VARIABLE.fullmatch(part), f"{path}: what is {part!r}?"
    assert not method.client_streaming, f"{method.name}: no request of HTTP is a stream"
    return Route(verb.upper(), parts, rule.body, method)
