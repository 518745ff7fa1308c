"""Between data classes and messages whose fields have the same names.

A field that is None is absent in the message, and the other way round; spans of time are
seconds here and Durations there, states are words here and numbers there.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from google.protobuf.message import Message

from pullwork.errors import InvalidFieldError
from pullwork.moments import moment, seconds, to_duration

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MessageT = TypeVar("MessageT", bound=Message)
T = TypeVar("T", bound="DataclassInstance")

# Protobuf has two classes of it, one for each way it is built.
FieldDescriptor = Any

DURATION: Final = "google.protobuf.Duration"
TIMESTAMP: Final = "google.protobuf.Timestamp"


def pack(value: DataclassInstance, message: MessageT, where: str = "") -> MessageT:
    """Fills a message with what a data class says; `where` begins the names of its fields.

    Raises InvalidFieldError for a value that the field can't hold.
    """
    for each in fields(value):
        given = getattr(value, each.name)
        if given is None:
            continue
        field = message.DESCRIPTOR.fields_by_name[each.name]
        name = f"{where}{each.name}"
        try:
            _set(message, field, given, name)
        except (TypeError, ValueError, AttributeError) as error:
            raise InvalidFieldError(f"{name} can't be {given!r}: {error}", field=name) from None
    return message


def _set(message: Message, field: FieldDescriptor, given: Any, name: str) -> None:
    inner = getattr(message, field.name)
    if isinstance(given, Mapping):
        inner.update(given)
    elif field.is_repeated:
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise TypeError("it must be a list")
        for index, one in enumerate(given):
            if field.message_type is None:
                inner.append(one)
            else:
                pack(one, inner.add(), f"{name}[{index}].")
    elif field.message_type is None:
        value = number_of(field, given) if field.enum_type is not None else given
        setattr(message, field.name, value)
    elif field.message_type.full_name == DURATION:
        inner.CopyFrom(to_duration(given, name))
    else:
        inner.SetInParent()
        pack(given, inner, f"{name}.")


def number_of(field: FieldDescriptor, word: str) -> int:
    """Returns the number of a state by its word; raises ValueError."""
    assert field.enum_type is not None
    words = words_of(field)
    if word not in words:
        raise ValueError(f"it must be one of {', '.join(list(words)[1:])}")
    return words[word]


def words_of(field: FieldDescriptor) -> dict[str, int]:
    """Returns the words and numbers of a field that is a state."""
    assert field.enum_type is not None
    named = {it.name: it.number for it in field.enum_type.values}
    first = min(named, key=lambda name: named[name])
    prefix = first.removesuffix("UNSPECIFIED")
    return {name.removeprefix(prefix): number for name, number in named.items()}


def unpack(message: Message, cls: type[T], inner: Mapping[str, type]) -> T:
    """Makes a data class of a message; `inner` has the classes of messages and states in it."""
    by_name = message.DESCRIPTOR.fields_by_name
    return cls(**{it.name: _value(message, by_name[it.name], inner) for it in fields(cls)})


def _value(message: Message, field: FieldDescriptor, inner: Mapping[str, type]) -> Any:
    value = getattr(message, field.name)
    if field.is_repeated:
        if field.message_type is None:
            return tuple(value)
        if field.message_type.GetOptions().map_entry:
            return MappingProxyType(dict(value))
        cls = inner[field.message_type.name]
        return tuple(unpack(one, cls, inner) for one in value)
    if field.enum_type is not None:
        return _word(field, value, inner[field.enum_type.name])
    if field.has_presence and not message.HasField(field.name):
        return None
    if field.message_type is None:
        return value
    if field.message_type.full_name == TIMESTAMP:
        return moment(message, field.name)
    if field.message_type.full_name == DURATION:
        return seconds(message, field.name)
    return unpack(value, inner[field.message_type.name], inner)


def _word(field: FieldDescriptor, number: int, cls: type[enum.StrEnum]) -> enum.StrEnum:
    """Returns a state as a word; UNKNOWN is what a newer master knows more."""
    word = {value: name for name, value in words_of(field).items()}.get(number, "")
    return cls(word) if word in cls.__members__ else cls("UNKNOWN")
