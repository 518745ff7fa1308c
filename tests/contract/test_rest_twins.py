"""Every call of a public service has a twin over HTTP, by its annotation in the protos."""

from __future__ import annotations

import re
from collections.abc import Iterable

import protos
import pytest
from google.api.annotations_pb2 import http as http_rule
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
)

# Services whose calls have no path, and why.
EXEMPT = {
    "MasterService": "the protocol of workers: its stream tells by breaking that a worker died, "
    "pings find one that froze, and tickets carry bytes by the hundred; HTTP/1 and JSON have "
    "none of this, and stubs there are for every language",
    "NodeService": "the part of it that nodes speak, under the session of MasterService",
}
VARIABLE = re.compile(r"\{([a-z_.]+)\}")
# By these words a call's name says that it changes nothing.
READS = ("Get", "List", "Watch", "Explain")


def lacking(files: Iterable[FileDescriptorProto]) -> list[str]:
    """Returns the calls of public services that have no path."""
    return [
        f"{service.name}.{method.name}"
        for file in files
        for service in file.service
        if service.name not in EXEMPT
        for method in service.method
        if not rules(method)
    ]


def rules(method: MethodDescriptorProto) -> list[HttpRule]:
    """Returns the paths of a call: the first one, then the others."""
    if not method.options.HasExtension(http_rule):
        return []
    rule = method.options.Extensions[http_rule]
    return [rule, *rule.additional_bindings]


def verb_and_path(rule: HttpRule) -> tuple[str, str]:
    """Returns e.g. `get` and `/tasks/{task_id}`."""
    verb = str(rule.WhichOneof("pattern"))
    return verb, getattr(rule, verb)


METHODS = {
    f"{service.name}.{method.name}": method
    for file in protos.files()
    for service in file.service
    for method in service.method
}
BOUND = {name: method for name, method in METHODS.items() if rules(method)}
MESSAGES = {
    f".{file.package}.{message.name}": message
    for file in protos.files()
    for message in file.message_type
}


def _request(method: MethodDescriptorProto) -> DescriptorProto:
    return MESSAGES[method.input_type]


def test_every_call_of_a_public_service_has_a_twin() -> None:
    assert lacking(protos.files()) == []


def test_a_planted_call_without_a_path_is_found() -> None:
    files = [FileDescriptorProto.FromString(file.SerializeToString()) for file in protos.files()]
    (method,) = (
        method
        for file in files
        for service in file.service
        for method in service.method
        if method.name == "GetQueue"
    )
    method.options.ClearExtension(http_rule)
    assert lacking(files) == ["QueueService.GetQueue"]


def test_a_service_without_paths_is_a_service_and_has_none() -> None:
    services = {service.name: service for file in protos.files() for service in file.service}
    for name, why in EXEMPT.items():
        assert why
        assert not any(rules(method) for method in services[name].method)


@pytest.mark.parametrize("name", BOUND)
def test_only_calls_that_change_nothing_are_gotten(name: str) -> None:
    reads = name.partition(".")[2].startswith(READS)
    for rule in rules(BOUND[name]):
        assert (verb_and_path(rule)[0] == "get") == reads


@pytest.mark.parametrize("name", BOUND)
def test_a_path_names_single_texts_of_its_request(name: str) -> None:
    fields = {field.name: field for field in _request(BOUND[name]).field}
    for rule in rules(BOUND[name]):
        for variable in VARIABLE.findall(verb_and_path(rule)[1]):
            assert fields[variable].type == FieldDescriptorProto.TYPE_STRING
            assert fields[variable].label != FieldDescriptorProto.LABEL_REPEATED
        if rule.body not in {"", "*"}:
            assert fields[rule.body].type == FieldDescriptorProto.TYPE_MESSAGE


def test_no_two_calls_have_the_same_path() -> None:
    bound = [
        (verb, VARIABLE.sub("{}", path))
        for method in BOUND.values()
        for verb, path in map(verb_and_path, rules(method))
    ]
    assert len(bound) == len(set(bound))
