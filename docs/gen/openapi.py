"""Prints the description of the REST face (OpenAPI 3.1), made from the protos and their comments.

`make docs` writes it into the gateway's package, which serves it at /openapi.json; a test compares
what this prints with what is committed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc_tools
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from grpc_tools import protoc
from schemas import Schemas

from pullwork_master.gateway.events import CURSOR
from pullwork_master.gateway.events import MEDIA_TYPE as EVENTS
from pullwork_master.gateway.problems import MEDIA_TYPE as PROBLEM
from pullwork_master.gateway.reading import is_own_message
from pullwork_master.gateway.routes import Route, Routes

PROTO = Path(__file__).parents[2] / "proto"
# Field numbers in descriptor.proto by which a source location names its element.
MESSAGE, ENUM, SERVICE, METHOD, NESTED, NESTED_ENUM, FIELD, VALUE = 4, 5, 6, 2, 3, 4, 2, 2
ABOUT = """\
Every public call of the contract over HTTP with JSON. It is a door, not a second master: a request
is checked, carried out and refused by the same code as its twin over gRPC.

Names are those of the contract; lowerCamelCase is taken too. Whole numbers of 64 bits are text, as
proto's JSON has them. A field that is unknown is refused by name.
"""
PROBLEM_SCHEMA = {
    "type": "object",
    "description": "Why a request was refused (RFC 9457). Programs decide by `reason`.",
    "required": ["type", "title", "status", "detail", "reason"],
    "properties": {
        "type": {"type": "string", "description": "`urn:pullwork:error:` and the reason."},
        "title": {"type": "string", "description": "What the reason means."},
        "status": {"type": "integer", "description": "The status of HTTP."},
        "detail": {"type": "string", "description": "What was refused, why, and what to do."},
        "reason": {"type": "string", "description": "The row in the table of errors."},
        "field": {"type": "string", "description": "The field to blame, e.g. `tasks[2].type`."},
        "metadata": {
            "type": "object",
            "description": "What the detail names, for programs.",
            "additionalProperties": {"type": "string"},
        },
        "retry_after_s": {
            "type": "number",
            "description": "After so many seconds a repeat may succeed; also in Retry-After.",
        },
    },
}


def contract() -> list[FileDescriptorProto]:
    """Compiles the protos, comments included."""
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    with TemporaryDirectory() as folder:
        image = Path(folder) / "image.binpb"
        ours = sorted(str(path) for path in PROTO.glob("pullwork/v1/*.proto"))
        flags = [f"-I{PROTO}", f"-I{well_known}", "--include_source_info"]
        if protoc.main(["protoc", *flags, f"--descriptor_set_out={image}", *ours]):
            raise SystemExit("the protos do not compile")
        return list(FileDescriptorSet.FromString(image.read_bytes()).file)


def comments(file: FileDescriptorProto) -> dict[str, str]:
    """Returns what a file says of each of its elements, on one line each."""
    said = {
        tuple(location.path): " ".join(location.leading_comments.split())
        for location in file.source_code_info.location
    }
    return {name: said.get(path, "") for name, path in elements(file)}


def elements(file: FileDescriptorProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yields the full name of each element of a file and its place."""
    for at, message in enumerate(file.message_type):
        yield from _of_message(message, file.package, (MESSAGE, at))
    for at, enum in enumerate(file.enum_type):
        yield from _of_enum(enum, file.package, (ENUM, at))
    for at, service in enumerate(file.service):
        name = f"{file.package}.{service.name}"
        yield name, (SERVICE, at)
        for nth, method in enumerate(service.method):
            yield f"{name}.{method.name}", (SERVICE, at, METHOD, nth)


def _of_message(
    message: DescriptorProto, prefix: str, path: tuple[int, ...]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    name = f"{prefix}.{message.name}"
    yield name, path
    for at, field in enumerate(message.field):
        yield f"{name}.{field.name}", (*path, FIELD, at)
    for at, nested in enumerate(message.nested_type):
        yield from _of_message(nested, name, (*path, NESTED, at))
    for at, enum in enumerate(message.enum_type):
        yield from _of_enum(enum, name, (*path, NESTED_ENUM, at))


def _of_enum(
    enum: EnumDescriptorProto, prefix: str, path: tuple[int, ...]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    name = f"{prefix}.{enum.name}"
    yield name, path
    for at, value in enumerate(enum.value):
        yield f"{name}.{value.name}", (*path, VALUE, at)


class Description:
    """The whole document."""

    def __init__(self) -> None:
        files = contract()
        for file in files:
            if file.package.startswith("pullwork."):
                import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
        self._said = {name: text for file in files for name, text in comments(file).items()}
        self._services = [
            f"{file.package}.{service.name}" for file in files for service in file.service
        ]
        self._schemas = Schemas(self._said)

    def document(self) -> dict[str, Any]:
        """Returns it."""
        paths: dict[str, dict[str, Any]] = {}
        tags: dict[str, dict[str, str]] = {}
        for route in Routes(self._services).all:
            service = route.method.containing_service
            about = {"name": service.name, "description": self._said[service.full_name]}
            tags.setdefault(service.name, about)
            path = paths.setdefault("/" + "/".join(route.parts), {})
            path[route.verb.lower()] = self._operation(route)
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Pullwork",
                "version": "v1",
                "description": ABOUT,
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "tags": [tags[name] for name in sorted(tags)],
            "paths": {path: paths[path] for path in sorted(paths)},
            "components": {
                "schemas": {"Problem": PROBLEM_SCHEMA}
                | {name: self._schemas.made[name] for name in sorted(self._schemas.made)}
            },
        }

    def _operation(self, route: Route) -> dict[str, Any]:
        said = self._said[route.method.full_name]
        problem = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        made: dict[str, Any] = {
            "operationId": route.method.name,
            "tags": [route.method.containing_service.name],
            "summary": said.partition(". ")[0].rstrip(".") + ".",
            "description": said,
            "parameters": [*self._in_path(route), *self._in_query(route)],
            "responses": {
                "200": {"description": "It was done.", "content": self._answer(route)},
                "default": {"description": "It was refused.", "content": problem},
            },
        }
        if route.makes:
            made["responses"] = {
                "201": {"description": "It was made.", "content": self._answer(route)},
                **made["responses"],
                "200": {"description": "It would be made.", "content": self._answer(route)},
            }
        if route.body:
            schema = self._body(route)
            made["requestBody"] = {
                "required": route.body != "*" or "properties" in schema,
                "content": {"application/json": {"schema": schema}},
            }
        return made

    def _in_path(self, route: Route) -> Iterator[dict[str, Any]]:
        for name in route.variables.values():
            field = route.request.fields_by_name[name]
            schema = self._schemas.field(field) | {"minLength": 1}
            about = schema.pop("description")
            yield {
                "name": name,
                "in": "path",
                "required": True,
                "description": about,
                "schema": schema,
            }

    def _in_query(self, route: Route) -> Iterator[dict[str, Any]]:
        if route.body == "*":
            return
        for field in route.request.fields:
            if field.name not in route.variables.values() and field.name != route.body:
                yield from self._parameters(field, "")
        if route.method.server_streaming and CURSOR in route.request.fields_by_name:
            yield {
                "name": "Last-Event-ID",
                "in": "header",
                "description": f"As `{CURSOR}`: what a browser sends when it comes back.",
                "schema": {"type": "string"},
            }

    def _parameters(self, field: FieldDescriptor, prefix: str) -> Iterator[dict[str, Any]]:
        inner = field.message_type
        if inner is not None and is_own_message(field):
            for each in inner.fields:
                yield from self._parameters(each, f"{prefix}{field.name}.")
            return
        schema = self._schemas.field(field)
        about = schema.pop("description")
        yield {
            "name": f"{prefix}{field.name}",
            "in": "query",
            "description": about,
            "schema": schema,
        }

    def _body(self, route: Route) -> dict[str, Any]:
        if route.body != "*":
            inner = route.request.fields_by_name[route.body].message_type
            assert inner is not None
            return self._schemas.ref(inner)
        if not route.variables:
            return self._schemas.ref(route.request)
        schema: dict[str, Any] = self._schemas.message(
            route.request, frozenset(route.variables.values())
        )
        return schema if schema["properties"] else {"type": "object", "maxProperties": 0}

    def _answer(self, route: Route) -> dict[str, Any]:
        message = self._schemas.ref(route.method.output_type)
        if not route.method.server_streaming:
            return {"application/json": {"schema": message}}
        about = (
            "Server-sent events; the `data` of each is a message, and the last event, `end` or "
            "`problem`, says why the stream ends."
        )
        return {EVENTS: {"schema": {"type": "string", "description": about}, "x-data": message}}


if __name__ == "__main__":
    print(json.dumps(Description().document(), indent=1, ensure_ascii=False))
