"""JSON that travels as bytes, shown and taken as JSON.

Proto's JSON writes bytes as base64, also those that are JSON themselves. Beside such a field
stands another one here, which is not in the contract: `args` beside the `payload` of a task,
`json` beside the `data` of a result. It is a convenience of this door only; who leaves it alone
has proto's JSON as it is.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

from google.protobuf.descriptor import Descriptor

from pullwork.payload import JSON
from pullwork_master.gateway.refusals import refuse_field


class Form(NamedTuple):
    """A field of bytes, and the name under which its JSON stands beside it."""

    data: str
    shown: str


FORMS: Final = {
    "pullwork.v1.TaskSpec": Form("payload", "args"),
    "pullwork.v1.Payload": Form("data", "json"),
}


def form_of(descriptor: Descriptor) -> Form | None:
    """Returns the form of a message, if it has one."""
    return FORMS.get(descriptor.full_name)


def take(message: Any, form: Form, value: object, place: str) -> None:
    """Puts JSON into the bytes of a message. Errors: InvalidFieldError."""
    name = f"{place}{form.shown}"
    if getattr(message, form.data):
        raise refuse_field(name, f"is set together with {form.data}; set one of them")
    if message.content_type not in {"", JSON}:
        raise refuse_field(
            f"{place}content_type",
            f"is {message.content_type!r}, but {form.shown} is {JSON}; leave it out, or send the "
            f"bytes as base64 in {form.data}",
        )
    try:
        data = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        setattr(message, form.data, data.encode())
    except (ValueError, RecursionError) as error:
        raise refuse_field(name, f"can't be written as JSON: {error}") from None
    message.content_type = JSON


def add(shown: dict[str, Any], descriptor: Descriptor) -> None:
    """Adds the JSON beside the bytes, wherever a message of that form is shown."""
    form = form_of(descriptor)
    if form is not None and shown.get("content_type") == JSON and shown.get(form.data):
        try:
            value = json.loads(base64.b64decode(shown[form.data]), parse_constant=_no_number)
        except (ValueError, RecursionError):
            pass  # not JSON, whatever its sender said
        else:
            shown[form.shown] = value
    for name, inner in _ways(descriptor):
        found = shown.get(name)
        for each in found if isinstance(found, list) else [found]:
            if isinstance(each, dict):
                add(each, inner)


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


@lru_cache(None)
def _ways(descriptor: Descriptor) -> tuple[tuple[str, Descriptor], ...]:
    """Returns the fields of a message that lead to one with a form."""
    return tuple(
        (field.name, field.message_type)
        for field in descriptor.fields
        if field.message_type is not None and any(map(form_of, _within(field.message_type)))
    )


def _within(descriptor: Descriptor, seen: frozenset[str] = frozenset()) -> Iterator[Descriptor]:
    """Yields a message and all that may be in it."""
    if descriptor.full_name in seen:
        return
    yield descriptor
    for field in descriptor.fields:
        if field.message_type is not None:
            yield from _within(field.message_type, seen | {descriptor.full_name})
