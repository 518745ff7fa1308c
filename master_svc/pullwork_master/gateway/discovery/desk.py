"""Answers `/discovery/…` and Consul's `/v1/…`: whom it may concern is asked, nothing is changed.

Until the master knows what there is, nobody is answered a list: an error has Prometheus and what
speaks Consul keep what they had, while an empty list would have them drop all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from pullwork_master.gateway.discovery import consul, prometheus, questions
from pullwork_master.gateway.discovery.catalogue import Catalogue, Endpoint
from pullwork_master.gateway.discovery.parking import FullError, Parking
from pullwork_master.gateway.discovery.questions import (
    ConsulRefusal,
    NoLeaderError,
    NotReadOnlyError,
    Question,
    TooManyWaitError,
)
from pullwork_master.gateway.discovery.written import JsonResponse, Written, as_json
from pullwork_master.gateway.events import until_gone
from pullwork_master.gateway.refusals import (
    MethodNotAllowedError,
    NotSettledError,
    refuse_field,
)

READING: Final = ("GET", "HEAD")
ALLOW: Final = {"Allow": ", ".join(READING)}
RETRY_S: Final = "1"


class GoneError(Exception):
    """The client left before its answer was ready."""


class Desk:
    """The catalogue of one master in the formats of others."""

    def __init__(self, catalogue: Catalogue, address: str, thread: Executor) -> None:
        self._catalogue = catalogue
        # Where this door is.
        self._address = address
        self._written = Written(thread)
        self.parking = Parking(catalogue)

    @staticmethod
    def takes(raw_path: str) -> bool:
        """Says whether a path is one of these formats'."""
        return raw_path == prometheus.PATH or raw_path.startswith(questions.ROOT)

    async def answer(self, request: Request, raw_path: str) -> Response:
        """Answers a request. Errors: PullworkError, GoneError."""
        pairs = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if raw_path == prometheus.PATH:
            return await self._prometheus(request, pairs)
        try:
            return await self._consul(request, raw_path, pairs)
        except ConsulRefusal as refused:
            return _refusal(refused)

    async def _prometheus(self, request: Request, pairs: list[tuple[str, str]]) -> Response:
        if request.method not in READING:
            raise MethodNotAllowedError(
                f"{request.method} is not taken here; allowed: {ALLOW['Allow']}", headers=ALLOW
            )
        chosen = _parameters(pairs)
        if not self._catalogue.settled:
            raise NotSettledError(
                "the master has started and does not know yet how the instances on its nodes are",
                headers={"Retry-After": RETRY_S},
            )
        service, port = chosen.get("service", ""), chosen.get("port", "")
        document = await self._written.get(
            (prometheus.PATH, service, port),
            self._catalogue.generation(service),
            lambda: self._catalogue.endpoints(service),
            lambda endpoints: prometheus.targets(endpoints, port),
        )
        return JsonResponse(document)

    async def _consul(
        self, request: Request, raw_path: str, pairs: list[tuple[str, str]]
    ) -> Response:
        if request.method not in READING:
            raise NotReadOnlyError(
                f"method {request.method} not allowed: this master's catalogue can only be read"
            )
        question = questions.read(raw_path, pairs)
        if question.kind in questions.FIXED:
            return JsonResponse(as_json(self._fixed(question)))
        if question.index:
            await self._wait(request, question)
        if not self._catalogue.settled:
            raise NoLeaderError("No cluster leader")
        return await self._tell(question)

    async def _wait(self, request: Request, question: Question) -> None:
        def gone() -> Coroutine[Any, Any, None]:
            return until_gone(request.receive)

        try:
            # Watchers of Consul that meet an error come back after 5 s, then 20 s, and ever later.
            here = await self.parking.settle(question.wait_s, gone) and await self.parking.wait(
                question.index, question.service, question.wait_s, gone
            )
        except FullError:
            raise TooManyWaitError(
                "Too many requests wait for a change already; ask without an index, or later"
            ) from None
        if not here:
            raise GoneError

    async def _tell(self, question: Question) -> Response:
        index = self._catalogue.generation(question.service)
        document = await self._written.get(
            replace(question, index=0, wait_s=0),
            index,
            lambda: self._catalogue.endpoints(question.service),
            lambda endpoints: _document(question, endpoints, index),
        )
        headers = {
            "X-Consul-Index": str(index),
            "X-Consul-KnownLeader": "true",
            "X-Consul-LastContact": "0",
            "X-Consul-Effective-Consistency": "leader",
        }
        return JsonResponse(document, headers=headers)

    def _fixed(self, question: Question) -> Any:
        leader = self._address if self._catalogue.settled else ""
        told: dict[str, Callable[[], Any]] = {
            "catalog/datacenters": lambda: [consul.DATACENTER],
            "agent/self": lambda: consul.agent_self(version("pullwork")),
            "status/leader": lambda: leader,
            "status/peers": lambda: [self._address],
        }
        return told[question.kind]()


def _document(question: Question, endpoints: Sequence[Endpoint], index: int) -> Any:
    if question.kind in {"catalog/service", "health/service", "health/checks"}:
        endpoints = consul.named(endpoints, question.name)
    if question.kind in {"catalog/service", "health/service"}:
        endpoints = consul.tagged(endpoints, question.tags)
    told: dict[str, Callable[[], Any]] = {
        "catalog/services": lambda: consul.services(endpoints),
        "catalog/nodes": lambda: consul.nodes(endpoints, index),
        "catalog/service": lambda: consul.catalog_service(endpoints, index),
        "health/service": lambda: consul.health_service(endpoints, index, passing=question.passing),
        "health/checks": lambda: consul.checks(endpoints, index),
        "health/state": lambda: consul.checks(endpoints, index, question.name),
    }
    return told[question.kind]()


def _parameters(pairs: list[tuple[str, str]]) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for key, value in pairs:
        if key not in prometheus.PARAMETERS:
            known = ", ".join(prometheus.PARAMETERS)
            raise refuse_field(key[:80], f"is no parameter here; there are: {known}")
        if key in chosen:
            raise refuse_field(key, "may be given once")
        if not value:
            raise refuse_field(key, "is empty; leave it out for all")
        chosen[key] = value
    return chosen


def _refusal(refused: ConsulRefusal) -> Response:
    headers = dict(ALLOW) if refused.status == NotReadOnlyError.status else {}
    if refused.status == TooManyWaitError.status:
        headers["Retry-After"] = RETRY_S
    body = str(refused).encode(errors="backslashreplace")
    return Response(body, refused.status, headers, media_type="text/plain")
