"""JSON schemas of the contract's messages, as OpenAPI 3.1 takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from pullwork_master.gateway.readable import form_of
from pullwork_master.gateway.shorthand import short_of

REF = "#/components/schemas/"
WELL_KNOWN: Mapping[str, dict[str, Any]] = {
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
}
SCALARS: Mapping[int, dict[str, Any]] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    # Proto's JSON writes these as text, since many readers keep only 53 bits of a number.
    FieldDescriptor.TYPE_INT64: {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "format": "int32", "minimum": 0},
    FieldDescriptor.TYPE_UINT64: {"type": "string", "format": "int64", "pattern": "^[0-9]+$"},
}


class Schemas:
    """The schemas that were asked for, and those that they refer to."""

    def __init__(self, comments: Mapping[str, str]) -> None:
        self._comments = comments
        self.made: dict[str, dict[str, Any]] = {}

    def ref(self, descriptor: Descriptor | EnumDescriptor) -> dict[str, Any]:
        """Refers to a message or an enum, whose schema is made if it is not there yet."""
        name = descriptor.full_name.removeprefix(f"{descriptor.file.package}.")
        if name not in self.made:
            self.made[name] = {}  # a message may contain itself
            made = self._enum if isinstance(descriptor, EnumDescriptor) else self.message
            self.made[name].update(made(descriptor))  # type: ignore[operator]
        return {"$ref": f"{REF}{name}"}

    def message(self, descriptor: Descriptor, without: frozenset[str] = frozenset()) -> Any:
        """Returns the schema of a message, some of whose fields stand elsewhere."""
        properties = {
            field.name: self.field(field)
            for field in descriptor.fields
            if field.name not in without
        }
        form = form_of(descriptor)
        if form is not None:
            properties[form.shown] = {
                "description": f"`{form.data}` as JSON, where `content_type` is "
                "`application/json`. A convenience of HTTP, not part of the contract."
            }
        return {"type": "object", **self._told(descriptor.full_name), "properties": properties}

    def field(self, field: FieldDescriptor) -> dict[str, Any]:
        """Returns the schema of a field, with what the contract says of it."""
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            value = self._single(inner.fields_by_name["value"])
            return {"type": "object", "additionalProperties": value, **self._told(field.full_name)}
        single = self._single(field)
        if field.is_repeated:
            short = None if inner is None else short_of(inner)
            items = {"anyOf": [single, *map(dict, short.schemas)]} if short else single
            return {"type": "array", "items": items, **self._told(field.full_name)}
        return single | self._told(field.full_name)

    def _single(self, field: FieldDescriptor) -> dict[str, Any]:
        if field.enum_type is not None:
            return self.ref(field.enum_type)
        if field.message_type is None:
            return dict(SCALARS[field.type])
        known = WELL_KNOWN.get(field.message_type.full_name)
        return dict(known) if known is not None else self.ref(field.message_type)

    def _enum(self, descriptor: EnumDescriptor) -> dict[str, Any]:
        lines = [
            f"- `{value.name}`: {self._comments[f'{descriptor.full_name}.{value.name}']}"
            for value in descriptor.values
        ]
        about = self._comments[descriptor.full_name]
        names = [value.name for value in descriptor.values]
        return {"type": "string", "description": "\n".join([about, "", *lines]), "enum": names}

    def _told(self, full_name: str) -> dict[str, str]:
        return {"description": self._comments[full_name]}
