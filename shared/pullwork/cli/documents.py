"""What `--json` prints: the public data classes as JSON, payloads readable where they are JSON."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import enum
import json
import sys
from collections.abc import Mapping
from typing import Any

from pullwork.payload import Encoded


def to_document(value: Any) -> Any:
    """Turns data classes, times, states and payloads into what JSON can say.

    A payload becomes `{"content_type", "json"}`, or `{"content_type", "base64"}` where it is
    not JSON.
    """
    if isinstance(value, Encoded):
        return payload_document(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: to_document(getattr(value, field.name)) for field in fields}
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_document(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_document(item) for item in value]
    return value


def payload_document(payload: Encoded) -> dict[str, Any]:
    """Returns a payload as a document of its own."""
    if is_json(payload.content_type):
        try:
            return {"content_type": payload.content_type, "json": json.loads(payload.data)}
        except ValueError:
            pass  # it says JSON and is none: show the bytes as they are
    encoded = base64.b64encode(payload.data).decode("ascii")
    return {"content_type": payload.content_type, "base64": encoded}


def is_json(content_type: str) -> bool:
    """Tells whether a content type means JSON; none at all does too."""
    name = content_type.partition(";")[0].strip().lower()
    return name in ("", "application/json", "text/json") or name.endswith("+json")


def print_document(value: Any) -> None:
    """Prints one document, indented."""
    print(json.dumps(to_document(value), indent=2, ensure_ascii=False))


def print_line(value: Any) -> None:
    """Prints one document on a line and passes it on at once; for streams."""
    print(json.dumps(to_document(value), ensure_ascii=False))
    sys.stdout.flush()
