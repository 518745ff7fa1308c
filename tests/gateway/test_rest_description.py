"""The description at /openapi.json is whole, and what the door does; and no input breaks it."""

from __future__ import annotations

import copy
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks

from pullwork.v1 import task_service_pb2
from pullwork_master.gateway import app
from pullwork_master.gateway.routes import Routes

PATIENCE_S = 30.0
# A run of a task that no worker knows waits for ever: so long is enough to see it accepted.
RUN_S = 0.3
SERVES = re.compile(r'"master serves HTTP", "address": "([^"]+)"')
DOCUMENT = json.loads((Path(app.__file__).parent / "openapi.json").read_text(encoding="utf-8"))
# Other ways to write paths that are tried as well.
ALIASES = "^/service/"
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT).exclude(path_regex=ALIASES)


def _narrowed() -> dict[str, Any]:
    """Returns the description of submissions with the bounds that the contract has in words."""
    document = copy.deepcopy(DOCUMENT)
    document["paths"] = {"/tasks": {"post": document["paths"]["/tasks"]["post"]}}
    document["paths"]["/tasks"]["post"]["requestBody"]["required"] = True
    schemas = document["components"]["schemas"]
    tasks = schemas["SubmitTasksRequest"]
    tasks |= {"required": ["tasks"], "additionalProperties": False}
    tasks["properties"]["tasks"] |= {"minItems": 1, "maxItems": 5}
    spec = schemas["TaskSpec"]
    spec |= {"required": ["type"], "additionalProperties": False}
    for name in ("task_id", "payload", "content_type", "not_before"):
        del spec["properties"][name]
    about = spec["properties"]
    about["type"]["pattern"] = about["queue"]["pattern"] = "^[A-Za-z0-9._:/-]{1,20}$"
    about["priority"] |= {"minimum": -100, "maximum": 100}
    about["max_worker_deaths"] |= {"minimum": 0, "maximum": 100}
    about["headers"] |= {
        "maxProperties": 3,
        "additionalProperties": {"type": "string", "maxLength": 20},
    }
    for name in ("owner", "unique_key", "limit_key"):
        about[name]["maxLength"] = 20
    for name in ("execution_timeout", "progress_timeout", "retention", "delay"):
        about[name]["pattern"] = r"^[1-9][0-9]{0,3}(\.[0-9]{1,3})?s$"
    retry = schemas["RetryPolicy"]
    retry["additionalProperties"] = False
    retry["properties"]["max_attempts"] |= {"minimum": 0, "maximum": 1000}
    retry["properties"]["multiplier"] |= {"minimum": 1, "maximum": 100}
    retry["properties"]["initial_backoff"]["pattern"] = "^[1-9]s$"
    retry["properties"]["max_backoff"]["pattern"] = "^[1-9][0-9]s$"
    return document


FITTING = schemathesis.openapi.from_dict(_narrowed())
FITTING.config.generation.update(modes=[schemathesis.GenerationMode.POSITIVE])
CHECKS = [
    checks.not_a_server_error,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real master in a process of its own, which ends in order and found no bug in itself."""
    folder = tmp_path_factory.mktemp("master")
    log = folder / "log"
    flags = ["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--log-format", "json"]
    command = [sys.executable, "-m", "pullwork_master", *flags, "--data", str(folder / "data")]
    with log.open("wb") as output:
        master = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    try:
        yield f"http://{_wait_until_it_serves(master, log)}"
        master.send_signal(signal.SIGTERM)
        assert master.wait(PATIENCE_S) == 0
        assert "bug in a call" not in log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        master.kill()
        master.wait()


def _wait_until_it_serves(master: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while (found := SERVES.search(log.read_text())) is None:
        assert master.poll() is None, log.read_text()
        assert time.monotonic() < deadline, "the master does not serve"
        time.sleep(0.05)
    return found[1]


def test_it_is_served_as_it_is(url: str) -> None:
    answer = httpx.get(f"{url}/openapi.json", trust_env=False)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == DOCUMENT


def test_it_has_every_path_of_the_contract_and_no_other() -> None:
    services = [tag["name"] for tag in DOCUMENT["tags"]]
    routes = Routes([f"pullwork.v1.{name}" for name in services]).all
    told = {(path, verb) for path, verbs in DOCUMENT["paths"].items() for verb in verbs}
    assert told == {("/" + "/".join(route.parts), route.verb.lower()) for route in routes}


def test_it_says_what_the_contract_says() -> None:
    submit = DOCUMENT["paths"]["/tasks"]["post"]
    assert submit["operationId"] == "SubmitTasks"
    assert "TASK_ID_CONFLICT" in submit["description"]
    spec = DOCUMENT["components"]["schemas"]["TaskSpec"]
    fields = task_service_pb2.RunTaskRequest.DESCRIPTOR.fields_by_name["task"].message_type.fields
    assert spec["properties"].keys() == {field.name for field in fields} | {"args"}
    assert all(_said(it) for it in spec["properties"].values())


def _said(schema: dict[str, Any]) -> str:
    return str(schema["description"])


def test_nothing_is_described_without_words() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        assert schema["description"]
        for inner in schema.get("properties", {}).values():
            assert inner["description"]
    for verbs in DOCUMENT["paths"].values():
        for operation in verbs.values():
            assert all(each["description"] for each in operation["parameters"])


@SCHEMA.parametrize()
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_no_input_breaks_the_door(case: schemathesis.Case, url: str) -> None:
    operation = DOCUMENT["paths"][case.path].get(case.method.lower(), {})
    if "text/event-stream" in operation.get("responses", {}).get("200", {}).get("content", {}):
        _check_stream(case, url)
        return
    if operation.get("operationId") == "RunTask":
        try:
            case.validate_response(case.call(base_url=url, timeout=RUN_S), checks=CHECKS)
        except requests.exceptions.ReadTimeout:
            assert httpx.get(f"{url}/queues", trust_env=False).status_code == 200
        return
    case.validate_response(case.call(base_url=url, timeout=PATIENCE_S), checks=CHECKS)


@FITTING.parametrize()
@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_what_fits_is_taken_and_shown_again(case: schemathesis.Case, url: str) -> None:
    answer = case.call(base_url=url, timeout=PATIENCE_S)
    if case.method != "POST":
        assert answer.status_code == 405
        return
    assert answer.status_code == 200, (answer.text, case.body)
    for receipt in answer.json()["receipts"]:
        shown = httpx.get(f"{url}/tasks/{receipt['task_id']}", trust_env=False)
        assert shown.status_code == 200, shown.text


def _check_stream(case: schemathesis.Case, url: str) -> None:
    """A stream never ends: its status and its first line are enough."""
    asked = case.as_transport_kwargs(base_url=url)
    with requests.request(**asked, stream=True, timeout=PATIENCE_S) as answer:
        assert answer.status_code < 500, answer.text
        if answer.status_code == 200:
            first = next(answer.iter_lines(), b"")
            assert first.startswith((b"id: ", b"data: ", b"event: ")), first
