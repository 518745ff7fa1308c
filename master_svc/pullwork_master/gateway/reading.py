"""From JSON and query parameters to messages: each refusal names the field and what it takes.

The values of fields are read by protobuf's own JSON mapping, one field at a time, so that a
refusal can say which. Names are taken as the contract writes them and in lowerCamelCase.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from pullwork_master.gateway import readable
from pullwork_master.gateway.refusals import NotJsonError, refuse_field
from pullwork_master.gateway.shorthand import expanded

SHOWN_CHARS_MAX: Final = 80
NAMES_SHOWN_MAX: Final = 20
_WELL_KNOWN: Final = "google.protobuf."
_KINDS: Final[Mapping[int, str]] = {
    FieldDescriptor.CPPTYPE_INT32: "a whole number of 32 bits",
    FieldDescriptor.CPPTYPE_INT64: "a whole number of 64 bits",
    FieldDescriptor.CPPTYPE_UINT32: "a whole number of 32 bits, not negative",
    FieldDescriptor.CPPTYPE_UINT64: "a whole number of 64 bits, not negative",
    FieldDescriptor.CPPTYPE_FLOAT: "a number",
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_STRING: "a text of whole characters",
}
_KINDS_OF_MESSAGES: Final[Mapping[str, str]] = {
    "google.protobuf.Duration": 'a duration in seconds with an s, e.g. "1.5s"',
    "google.protobuf.Timestamp": 'a moment, e.g. "2030-12-31T23:59:00Z"',
}


def parse(body: bytes) -> object:
    """Reads JSON strictly: no name twice in an object, no NaN. Errors: NotJsonError."""
    try:
        return json.loads(
            body.decode(), object_pairs_hook=_without_doubles, parse_constant=_no_number
        )
    except UnicodeDecodeError as error:
        raise NotJsonError(f"the body is not UTF-8: {error}") from None
    except RecursionError:
        raise NotJsonError("the body is not JSON that can be read: it is too deep") from None
    except ValueError as error:
        raise NotJsonError(f"the body is not JSON: {error}") from None


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        double = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"the name {double!r} stands twice in one object")
    return made


def _no_number(word: str) -> object:
    raise ValueError(f"{word} is no JSON")


def fill(message: Message, value: object, place: str = "", elsewhere: Collection[str] = ()) -> None:
    """Puts a JSON object into a message; `place` is the path to it, empty or ending in a dot.

    Errors: InvalidFieldError, also for fields that are `elsewhere` in the request.
    """
    if not isinstance(value, dict):
        raise refuse_field(place.rstrip(".") or "body", f"is {_shown(value)}; it must be an object")
    descriptor: Any = message.DESCRIPTOR
    form = readable.form_of(descriptor)
    seen: set[str] = set()
    for key, item in value.items():
        if form is not None and key == form.shown:
            continue
        field = _field(descriptor, key, place)
        name = f"{place}{field.name}"
        if field.name in seen:
            raise refuse_field(name, "is given twice, under two names; give it once")
        if field.name in elsewhere:
            raise refuse_field(name, "stands in the path already; leave it out here")
        seen.add(field.name)
        if item is not None:
            _put(message, field, item, name)
    if form is not None and value.get(form.shown) is not None:
        readable.take(message, form, value[form.shown], place)


def nested(
    pairs: Iterable[tuple[str, str]], descriptor: Descriptor, elsewhere: Collection[str] = ()
) -> dict[str, Any]:
    """Makes the JSON object that query parameters mean; a dot leads into a message.

    Fields that are said `elsewhere` are not offered where one is not known.

    Errors: InvalidFieldError.
    """
    made: dict[str, Any] = {}
    for path, text in pairs:
        *ways, last = path.split(".")
        inside, place = made, ""
        at: Any = descriptor
        for way in ways:
            field = _field(at, way, place, "query parameter")
            if not is_own_message(field) or field.is_repeated:
                raise refuse_field(path, f"is no query parameter: {field.name} has no fields")
            place += f"{field.name}."
            inside, at = inside.setdefault(field.name, {}), field.message_type
        field = _field(at, last, place, "query parameter", () if ways else elsewhere)
        name = f"{place}{field.name}"
        value = _from_text(field, text, name)
        if field.is_repeated:
            inside.setdefault(field.name, []).append(value)
        elif field.name in inside:
            raise refuse_field(name, "is given twice; give it once")
        else:
            inside[field.name] = value
    return made


def _from_text(field: FieldDescriptor, text: str, name: str) -> object:
    inner = field.message_type
    if inner is not None and (is_own_message(field) or _is_map(field)):
        example = f"{name}.{inner.fields[0].name}"
        raise refuse_field(
            name, f"is an object; as query parameters set its fields, e.g. {example}"
        )
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if text not in {"true", "false"}:
            raise refuse_field(name, f"is {_shown(text)}; it must be true or false")
        return text == "true"
    return text


def _put(message: Message, field: FieldDescriptor, item: object, name: str) -> None:
    oneof = field.containing_oneof
    if oneof is not None and (former := message.WhichOneof(oneof.name)) is not None:
        raise refuse_field(name, f"is set together with {former}; set one of them")
    if is_own_message(field):
        inner: Any = getattr(message, field.name)
        inner_type: Any = field.message_type
        if not field.is_repeated:
            inner.SetInParent()
            fill(inner, item, f"{name}.")
            return
        if not isinstance(item, list):
            raise refuse_field(name, f"is {_shown(item)}; it must be a list")
        for number, each in enumerate(item):
            place = f"{name}[{number}]"
            fill(inner.add(), expanded(inner_type, each, place), f"{place}.")
        return
    if not _taken(message, field, item):
        raise _blame(message, field, item, name)


def _taken(message: Message, field: FieldDescriptor, item: object) -> bool:
    if field.type == FieldDescriptor.TYPE_BYTES:
        items = item if field.is_repeated and isinstance(item, list) else [item]
        if not all(map(_is_base64, items)):
            return False
    try:
        json_format.ParseDict({field.name: item}, message)
    except (
        json_format.ParseError,
        ValueError,
        TypeError,
        OverflowError,
        AttributeError,
        RecursionError,
    ):
        return False
    return True


def _is_base64(item: object) -> bool:
    """Protobuf passes over what is not base64; a payload must not be changed so."""
    if not isinstance(item, str):
        return False
    text = item.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _blame(message: Message, field: FieldDescriptor, item: object, name: str) -> Exception:
    kind = _kind(field)
    if field.is_repeated and not _is_map(field):
        if not isinstance(item, list):
            return refuse_field(name, f"is {_shown(item)}; it must be a list")
        for number, each in enumerate(item):
            if not _taken(type(message)(), field, [each]):
                return refuse_field(f"{name}[{number}]", f"is {_shown(each)}; it must be {kind}")
    return refuse_field(name, f"is {_shown(item)}; it must be {kind}")


def _kind(field: FieldDescriptor) -> str:
    """Says in words what a field takes."""
    inner = field.message_type
    if inner is not None and _is_map(field):
        return f"an object of which each value is {_kind(inner.fields_by_name['value'])}"
    if field.enum_type is not None:
        names = [value.name for value in field.enum_type.values]
        return f"one of {', '.join(names[:NAMES_SHOWN_MAX])}"
    if field.type == FieldDescriptor.TYPE_BYTES:
        return "bytes in base64"
    if field.message_type is not None:
        return _KINDS_OF_MESSAGES.get(field.message_type.full_name, "what its type takes")
    return _KINDS[field.cpp_type]


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value)
    return text if len(text) <= SHOWN_CHARS_MAX else f"{text[:SHOWN_CHARS_MAX]}…"


def _field(
    descriptor: Descriptor,
    name: str,
    place: str,
    what: str = "field",
    elsewhere: Collection[str] = (),
) -> FieldDescriptor:
    names = names_of(descriptor)
    found = names.get(name)
    if found is not None:
        return found
    known = sorted({field.name for field in names.values() if field.name not in elsewhere})
    form = readable.form_of(descriptor)
    if form is not None and what == "field":
        known.append(form.shown)
    near = get_close_matches(name, known, 1)
    if near:
        remedy = f"did you mean {near[0]}?"
    elif known:
        remedy = f"there are {', '.join(known[:NAMES_SHOWN_MAX])}"
    else:
        remedy = "there are none"
    named = f"{place}{name}"[:SHOWN_CHARS_MAX]
    raise refuse_field(named, f"is no {what} here; {remedy}")


@lru_cache(None)
def names_of(descriptor: Descriptor) -> Mapping[str, FieldDescriptor]:
    """Returns the fields of a message by each name that they may have."""
    found = {field.json_name: field for field in descriptor.fields}
    return found | {field.name: field for field in descriptor.fields}


def is_own_message(field: FieldDescriptor) -> bool:
    """Says whether a field holds messages whose fields are named, unlike those of protobuf."""
    inner = field.message_type
    return (
        inner is not None
        and not inner.full_name.startswith(_WELL_KNOWN)
        and not inner.GetOptions().map_entry
    )


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)
