"""From messages to the JSON of an answer: proto's mapping, with the contract's names."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from pullwork_master.gateway import readable


def document(message: Message) -> dict[str, Any]:
    """Returns a message as proto's JSON: names as in the contract, nothing left out that has a
    default."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def written(message: Message) -> bytes:
    """Returns a message as JSON on one line, with what is JSON in its bytes beside them."""
    told = document(message)
    descriptor: Any = message.DESCRIPTOR
    readable.add(told, descriptor)
    try:
        return json.dumps(told, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        # Half a character, or JSON too deep to be written again; the bytes tell it all.
        return json.dumps(document(message)).encode()
