"""Services as people write them, in a file or by flags, and the spec that they mean.

A document is names, lists and texts: what a text means is decided by the field that it is
written for, never by how it looks. So `VERSION: 1.10` stays `1.10`, and the port 8080:50 is no
time of day.

The names are those of the contract; beside them stand a few shorter ways to say the same.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.message import Message

from pullwork.errors import InvalidFieldError
from pullwork.packing import DURATION, FieldDescriptor, number_of, words_of
from pullwork.settings import format_duration, format_size, parse_duration, parse_size
from pullwork.settings.names import near
from pullwork.v1 import service_pb2 as pb

# A mapping, a list, or a text.
Document = Any

_PORT: Final = re.compile(r"(?:(?P<name>[^=:]+)=)?(?:(?P<host>\d+):)?(?P<port>\d+)")
_PORT_NAME: Final = re.compile(r"[a-z0-9-]*[a-z][a-z0-9-]*")
_BOOLS: Final = {"true": True, "false": False}
_WHOLE: Final = re.compile(r"[+-]?\d+")
# Said at the top, where they belong to one of its parts.
_SHORT: Final = {"cpus": "resources", "memory": "resources"}
# Other names for fields of a message.
_OTHER_NAMES: Final = {"memory": "memory_bytes"}
_PORT_FORMS: Final = (
    "write 80, NAME=80, 8080:80 (published there on its node), or only a NAME for a free port "
    "that a process finds in $PORT"
)
_HEALTH_FORMS: Final = "write http:/PATH, tcp, tcp:PORT_NAME or cmd:PROGRAM ARGUMENTS"


class SpecReader:
    """Reads documents, and gathers all that is wrong with them in `faults`.

    `called` says what a path of a document, e.g. `web.ports[0]`, is called in a fault.
    """

    def __init__(self, called: Callable[[str], str]) -> None:
        self.faults: list[str] = []
        self._called = called

    def read(self, document: Document, where: str) -> pb.ServiceSpec:
        """Reads one service's document; what was not understood is left out, and a fault."""
        spec = pb.ServiceSpec()
        if isinstance(document, Mapping):
            document = self._spread(document, where)
        self._message(document, spec, where)
        return spec

    def check(self) -> None:
        """Raises InvalidFieldError that tells all faults, a line each."""
        if self.faults:
            raise InvalidFieldError("\n".join(self.faults))

    def fault(self, where: str, words: str) -> None:
        """Adds a fault of what stands at a path."""
        called = self._called(where)
        self.faults.append(f"{called} {words}" if called else words)

    def _spread(self, document: Mapping[str, Document], where: str) -> dict[str, Document]:
        """Puts what is said at the top for short where it belongs."""
        spread = {key: value for key, value in document.items() if key not in _SHORT}
        for key in document.keys() & _SHORT.keys():
            home = _SHORT[key]
            part = spread.get(home, {})
            if not isinstance(part, Mapping) or {key, _OTHER_NAMES.get(key, key)} & part.keys():
                self.fault(_joined(where, key), f"is said twice: here and in {home}")
            else:
                spread[home] = {**part, key: document[key]}
        return spread

    def _message(self, document: Document, message: Message, where: str) -> None:
        if not isinstance(document, Mapping):
            self.fault(where, f"is {_shown(document)}; write {_keys_of(message)}")
            return
        message.SetInParent()
        fields = message.DESCRIPTOR.fields_by_name
        way = ""
        for key, value in document.items():
            path = _joined(where, key)
            name: str = _OTHER_NAMES.get(key) or key
            field = fields.get(name)
            if field is None:
                known = {**dict.fromkeys(fields), **_short_names(message)}
                self.fault(path, f"is not known{near(key, known)}; write {_keys_of(message)}")
                continue
            if (of := field.containing_oneof) is not None and len(of.fields) > 1:
                if way:
                    self.fault(path, f"is a second way beside {way}: choose one of them")
                    continue
                way = key
            self._field(value, message, field, path)

    def _field(self, value: Document, message: Message, field: FieldDescriptor, path: str) -> None:
        if field.is_repeated and field.message_type is None:
            self._words(value, getattr(message, field.name), path)
        elif field.is_repeated and field.message_type.GetOptions().map_entry:
            self._texts(value, getattr(message, field.name), path)
        elif field.is_repeated:
            self._ports(value, getattr(message, field.name), path)
        elif field.message_type is None:
            self._scalar(value, message, field, path)
        elif field.message_type.full_name == DURATION:
            self._duration(value, getattr(message, field.name), path)
        elif isinstance(value, str | list) and (long := self._longer(value, field, path)):
            self._message(long, getattr(message, field.name), path)
        else:
            self._message(value, getattr(message, field.name), path)

    def _longer(self, value: str | list[Document], field: FieldDescriptor, path: str) -> Document:
        """Returns the long form of what was said for short; what is no short form, as it is."""
        match field.message_type.name, value:
            case "HealthCheck", str():
                return self._health(value, path)
            case "Tcp", str():
                return {"port": value}
            case "Http", str():
                return {"path": value}
            case "Command", _:
                return {"command": value}
        return value

    def _health(self, text: str, path: str) -> Document:
        way, _, rest = text.partition(":")
        if way == "http":
            return {"http": rest or "/"}
        if way == "tcp":
            return {"tcp": rest}
        if way in ("cmd", "command") and rest.strip():
            return {"command": rest}
        self.fault(path, f"can't be {text!r}: {_HEALTH_FORMS}")
        return {"tcp": ""}  # What is well formed: one fault is told once.

    def _words(self, value: Document, into: Any, path: str) -> None:
        if isinstance(value, str):
            try:
                value = shlex.split(value)
            except ValueError as error:
                self.fault(path, f"can't be split into words ({error}): write a list of them")
                return
        if not isinstance(value, list):
            self.fault(path, f"is {_shown(value)}; it must be a program and its arguments")
            return
        for index, word in enumerate(value):
            if isinstance(word, str):
                into.append(word)
            else:
                self.fault(f"{path}[{index}]", f"is {_shown(word)}; it must be a text")

    def _texts(self, value: Document, into: Any, path: str) -> None:
        if not isinstance(value, Mapping):
            self.fault(path, f"is {_shown(value)}; it must be names and values, NAME: VALUE")
            return
        for key, text in value.items():
            if isinstance(text, str):
                into[key] = text
            else:
                self.fault(f"{path}.{key}", f"is {_shown(text)}; it must be a text")

    def _ports(self, value: Document, into: Any, path: str) -> None:
        if not isinstance(value, list):
            self.fault(path, f"is {_shown(value)}; it must be a list of ports, e.g. [80]")
            return
        for index, port in enumerate(value):
            here = f"{path}[{index}]"
            made = into.add()
            if not isinstance(port, str):
                self._message(port, made, here)
            elif found := _PORT.fullmatch(port.strip()):
                made.name = found["name"] or ""
                numbers = {"port": found["port"], "host_port": found["host"] or "0"}
                self._message(numbers, made, here)
            elif _PORT_NAME.fullmatch(port.strip()):
                made.name = port.strip()
            else:
                self.fault(here, f"can't be {port!r}: {_PORT_FORMS}")

    def _duration(self, value: Document, into: Any, path: str) -> None:
        try:
            seconds = parse_duration(value)
            into.FromNanoseconds(round(seconds * 1_000_000_000))
        except (ValueError, TypeError, OverflowError):
            self.fault(
                path,
                f"can't be {_shown(value)}: write seconds, or a number with ms, s, m, h or d, "
                "e.g. 30s",
            )

    def _scalar(self, value: Document, message: Message, field: FieldDescriptor, path: str) -> None:
        wanted = _kind(field)
        if not isinstance(value, str):
            self.fault(path, f"is {_shown(value)}; it must be {wanted}")
            return
        try:
            setattr(message, field.name, _parsed(value, field))
        except (ValueError, OverflowError):
            large = " that is not so large" if _WHOLE.fullmatch(value.strip()) else ""
            self.fault(path, f"can't be {value!r}: write {wanted}{large}")


def _joined(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _parsed(text: str, field: FieldDescriptor) -> object:
    """Reads a text as what its field takes; raises ValueError."""
    if field.enum_type is not None:
        return number_of(field, text.upper())
    if field.name == "memory_bytes":
        return parse_size(text)
    if field.cpp_type == field.CPPTYPE_STRING:
        return text
    if field.cpp_type == field.CPPTYPE_BOOL:
        return _BOOLS[text.lower()] if text.lower() in _BOOLS else _no()
    if field.cpp_type == field.CPPTYPE_DOUBLE:
        number = float(text)
        return number if math.isfinite(number) else _no()
    return int(text) if _WHOLE.fullmatch(text.strip()) else _no()


def _no() -> object:
    raise ValueError


def _kind(field: FieldDescriptor) -> str:
    if field.enum_type is not None:
        return " or ".join(word.lower() for word in list(words_of(field))[1:])
    if field.name == "memory_bytes":
        return "a size: bytes, or a number with kB, MB, GB, KiB, MiB or GiB, e.g. 256MiB"
    kinds = {
        field.CPPTYPE_STRING: "a text",
        field.CPPTYPE_BOOL: "true or false",
        field.CPPTYPE_DOUBLE: "a number, e.g. 0.5",
    }
    return kinds.get(field.cpp_type, "a whole number")


def _short_names(message: Message) -> dict[str, None]:
    if isinstance(message, pb.ServiceSpec):
        return dict.fromkeys(_SHORT)
    return {"memory": None} if isinstance(message, pb.Resources) else {}


def _keys_of(message: Message) -> str:
    names = [*message.DESCRIPTOR.fields_by_name, *_short_names(message)]
    return f"some of {', '.join(names)}" if len(names) > 1 else f"{names[0]}"


def _shown(value: Document) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return repr(value)


# --- the other way round


def document_of(message: Message) -> dict[str, Document]:
    """Returns a spec, or a part of one, as a document: what `SpecReader` reads back."""
    return {field.name: _written(message, field) for field, _ in message.ListFields()}


def _written(message: Message, field: FieldDescriptor) -> Document:
    value = getattr(message, field.name)
    if field.is_repeated and field.message_type is None:
        return list(value)
    if field.is_repeated and field.message_type.GetOptions().map_entry:
        return dict(sorted(value.items()))
    if field.is_repeated:
        return [_port_text(port) for port in value]
    if field.enum_type is not None:
        return {number: word for word, number in words_of(field).items()}.get(value, "?").lower()
    if field.name == "memory_bytes":
        return format_size(value)
    if field.message_type is None:
        return _scalar_text(value)
    if field.message_type.full_name == DURATION:
        return format_duration(value.ToNanoseconds() / 1e9)
    return document_of(value)


def _scalar_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _port_text(port: pb.Port) -> str:
    if not port.port and not port.host_port:
        return port.name
    named = f"{port.name}=" if port.name and port.name != str(port.port) else ""
    published = f"{port.host_port}:" if port.host_port else ""
    return f"{named}{published}{port.port}"
