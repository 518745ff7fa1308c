"""Between Python values and the bytes of a payload, checked against a function's signature.

Three forms, chosen by the annotations: one `bytes` parameter travels as it is, one
protobuf message in its wire form, everything else as a JSON object of parameter name
and value, which any language can write. The same holds for results by the return
annotation, save that a JSON result stands by itself. Arguments are checked strictly
(a string is no number); results may be converted to what the annotation says.

It knows nothing of gRPC: worker processes that run functions load it.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NotRequired, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, SchemaSerializer, from_json
from typing_extensions import TypedDict

from pullwork.errors import PayloadError, TaskDefinitionError

if TYPE_CHECKING:
    from pullwork.tasks import Task

JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"
PROTOBUF: Final = "application/x-protobuf"

_JSON_NAMES: Final = frozenset({"", JSON, "text/json"})
_PROTOBUF_NAMES: Final = frozenset({PROTOBUF, "application/protobuf"})

_RESULT: Final = ConfigDict(
    extra="forbid",
    val_json_bytes="base64",
    ser_json_bytes="base64",
    ser_json_inf_nan="strings",
)
# JSON has no NaN, so arguments refuse it by name; a result is not thrown away for it.
_ARGUMENTS: Final = ConfigDict(**_RESULT, strict=True, allow_inf_nan=False)
_ERRORS_SHOWN_MAX: Final = 5
_SHOWN_MAX: Final = 80


class Encoded(NamedTuple):
    """Bytes and how to read them."""

    data: bytes
    content_type: str


class _Shape:
    """The fields of one JSON object: checks values and writes and reads the object.

    A TypedDict, because pydantic's settings reach dataclasses only from an object around them.
    """

    def __init__(self, fields: Mapping[str, Any], config: ConfigDict) -> None:
        body = {"__annotations__": dict(fields), "__pydantic_config__": config}
        shape = types.new_class("shape", (TypedDict,), exec_body=lambda space: space.update(body))
        adapter: TypeAdapter[Any] = TypeAdapter(shape)
        self.of_result = config is _RESULT
        self._validator = adapter.validator
        self._serializer = SchemaSerializer(
            adapter.core_schema, {"ser_json_bytes": "base64", "ser_json_inf_nan": "strings"}
        )

    def check(self, values: dict[str, Any]) -> dict[str, Any]:
        checked: dict[str, Any] = self._validator.validate_python(values)
        return checked

    def write(self, values: dict[str, Any]) -> bytes:
        return self._serializer.to_json(values, warnings=False)

    def read(self, data: bytes) -> dict[str, Any]:
        values: dict[str, Any] = self._validator.validate_json(data)
        return values


class Codec:
    """How the arguments and the result of one function travel; made once for each task."""

    def __init__(
        self, type_name: str, fn: Callable[..., Any], content_type: str | None = None
    ) -> None:
        self._type_name = type_name
        self._fn = fn
        self._content_type = content_type
        parameters = inspect.signature(fn).parameters.values()
        self._names = {p.name for p in parameters}
        self._required = {p.name for p in parameters if p.default is p.empty}
        self._by_position = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        self._position_only = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_ONLY)
        self._defaults = {p.name: p.default for p in parameters}

    @cached_property
    def _hints(self) -> dict[str, Any]:
        try:
            return get_type_hints(self._fn, include_extras=True)
        except (NameError, TypeError, AttributeError, SyntaxError) as error:
            raise TaskDefinitionError(
                f"the annotations of task {self._type_name!r} can't be resolved: {error}; import "
                "the names where the task is defined (not only under TYPE_CHECKING)"
            ) from error

    @cached_property
    def _alone(self) -> tuple[str, Any] | None:
        """The name and class of a parameter that is the whole payload, if it is the only one."""
        for name in self._names:
            hint = self._hints.get(name)
            if not (hint is bytes or is_message(hint)):
                continue
            if len(self._names) == 1:
                return name, hint
            if is_message(hint):
                raise TaskDefinitionError(
                    f"task {self._type_name!r} takes the protobuf message {name!r} beside other "
                    "parameters; a message must be the only one: put the others into it"
                )
        return None

    @cached_property
    def _arguments(self) -> _Shape:
        fields = {}
        for name in self._names:
            hint = self._hints.get(name, Any)
            fields[name] = hint if name in self._required else NotRequired[hint]
        return self._shape(fields, _ARGUMENTS)

    @cached_property
    def _result(self) -> _Shape:
        return self._shape({"value": self._hints.get("return", Any)}, _RESULT)

    def _shape(self, fields: Mapping[str, Any], config: ConfigDict) -> _Shape:
        try:
            return _Shape(fields, config)
        except (PydanticUserError, NameError) as error:
            reason = str(error).split("\n", 1)[0].split(" Set `", 1)[0]
            raise TaskDefinitionError(
                f"task {self._type_name!r} has an annotation that can't travel: {reason} "
                "Use JSON types, dataclasses, pydantic models, bytes or a protobuf message"
            ) from error

    def prepare(self) -> None:
        """Resolves every annotation now; raises TaskDefinitionError for one that can't travel."""
        if self._alone is None:
            _ = self._arguments
            if self._content_type not in {None, JSON}:
                raise TaskDefinitionError(
                    f"task {self._type_name!r} has content_type={self._content_type!r}, but only a "
                    "function whose one parameter is bytes can choose how its payload is called"
                )
        if not self._returns_alone:
            _ = self._result

    @cached_property
    def _returns_alone(self) -> bool:
        returned = self._hints.get("return")
        return returned is bytes or is_message(returned)

    def encode_args(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Encoded:
        """Checks arguments against the signature and packs them."""
        values = self._bind(args, kwargs)
        if self._alone is not None:
            return self._encode_alone(values)
        shape = self._arguments
        try:
            shape.check(values)
            return Encoded(shape.write(values), JSON)
        except ValidationError as error:
            raise self._misfit(error, of_result=False) from None
        except PydanticSerializationError as error:
            raise PayloadError(f"{self._type_name}: the arguments are no JSON: {error}") from error

    def _bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        if len(args) > len(self._by_position):
            raise PayloadError(
                f"{self._type_name}: takes {len(self._by_position)} arguments by position, "
                f"got {len(args)}"
            )
        values = dict(zip(self._by_position, args, strict=False))
        for name, value in kwargs.items():
            if name in values:
                raise PayloadError(
                    f"{self._type_name}: argument {name!r} is given twice", field=name
                )
            if name in self._position_only:
                raise PayloadError(
                    f"{self._type_name}: argument {name!r} can be given by position only",
                    field=name,
                )
            values[name] = value
        return values

    def _encode_alone(self, values: dict[str, Any]) -> Encoded:
        assert self._alone is not None
        name, kind = self._alone
        for unknown in values.keys() - self._names:
            raise PayloadError(f"{self._type_name}: no parameter {unknown!r}", field=unknown)
        if name not in values and name in self._required:
            raise PayloadError(f"{self._type_name}: argument {name!r} is missing", field=name)
        value = values.get(name, self._defaults[name])
        if not isinstance(value, kind):
            raise PayloadError(
                f"{self._type_name}: argument {name!r} must be {kind.__name__}, "
                f"got {type(value).__name__}",
                field=name,
            )
        if kind is bytes:
            return Encoded(bytes(value), self._content_type or BYTES)
        return Encoded(self._serialized(value, f"argument {name!r}"), PROTOBUF)

    def _serialized(self, message: Any, what: str) -> bytes:
        try:
            data: bytes = message.SerializeToString()
        except Exception as error:  # protobuf's own error class would have to be imported
            raise PayloadError(f"{self._type_name}: {what}: {error}") from error
        return data

    def decode_args(self, data: bytes, content_type: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Unpacks a payload into the arguments to call the function with."""
        if self._alone is not None:
            name, kind = self._alone
            values = {name: data if kind is bytes else self._parsed(kind, data, content_type)}
        else:
            values = self._read(self._arguments, data or b"{}", content_type)
        args = []
        for name in self._position_only:
            if name not in values:
                break
            args.append(values.pop(name))
        return tuple(args), values

    def _read(self, shape: _Shape, data: bytes, content_type: str) -> dict[str, Any]:
        if content_type != JSON and not is_json(content_type):
            raise PayloadError(
                f"{self._type_name}: expects {JSON}, got content type {content_type!r}"
            )
        try:
            return shape.read(data)
        except ValidationError as error:
            raise self._misfit(error, of_result=shape.of_result) from None

    def _parsed(self, kind: Any, data: bytes, content_type: str) -> Any:
        if content_type and content_type.split(";", 1)[0].strip() not in _PROTOBUF_NAMES:
            raise PayloadError(
                f"{self._type_name}: expects the protobuf message {kind.DESCRIPTOR.full_name} as "
                f"{PROTOBUF}, got content type {content_type!r}"
            )
        try:
            return kind.FromString(data)
        except Exception as error:  # protobuf's DecodeError would have to be imported
            raise PayloadError(
                f"{self._type_name}: these bytes are no {kind.DESCRIPTOR.full_name}: {error}"
            ) from error

    def encode_result(self, value: Any) -> Encoded:
        """Checks what a function returned against its annotation and packs it."""
        if self._returns_alone:
            returned = self._hints["return"]
            if not isinstance(value, returned):
                raise PayloadError(
                    f"{self._type_name}: the result must be {returned.__name__}, "
                    f"got {type(value).__name__}"
                )
            if returned is bytes:
                return Encoded(bytes(value), BYTES)
            return Encoded(self._serialized(value, "the result"), PROTOBUF)
        shape = self._result
        try:
            checked = shape.check({"value": value})
            return Encoded(shape.write(checked)[len(b'{"value":') : -1], JSON)
        except ValidationError as error:
            raise self._misfit(error, of_result=True) from None
        except PydanticSerializationError as error:
            raise PayloadError(f"{self._type_name}: the result is no JSON: {error}") from error

    def decode_result(self, data: bytes, content_type: str) -> Any:
        """Unpacks a result by the return annotation."""
        if self._returns_alone:
            returned = self._hints["return"]
            if returned is bytes:
                return data
            return self._parsed(returned, data, content_type)
        return self._read(self._result, b'{"value":%b}' % (data or b"null"), content_type)["value"]

    def _misfit(self, error: ValidationError, *, of_result: bool) -> PayloadError:
        """Says what pydantic found in a sentence that names the parameters."""
        found = error.errors(include_url=False)
        sentences = []
        for detail in found[:_ERRORS_SHOWN_MAX]:
            loc = [str(part) for part in detail["loc"]]
            if of_result:
                place = ".".join(loc[1:])
                subject = f"the result at {place}" if place else "the result"
            else:
                subject = f"argument {'.'.join(loc)!r}" if loc else ""
            sentences.append(_sentence(subject, detail["type"], detail["msg"], detail["input"]))
        if len(found) > _ERRORS_SHOWN_MAX:
            sentences.append(f"and {len(found) - _ERRORS_SHOWN_MAX} more")
        first = found[0]["loc"]
        field = str(first[0]) if first and not of_result else ""
        return PayloadError(f"{self._type_name}: {'; '.join(sentences)}", field=field)


def _sentence(subject: str, kind: str, message: str, given: object) -> str:
    if kind == "missing":
        return f"{subject} is missing"
    if kind == "extra_forbidden":
        return f"there is no parameter for {subject}"
    if kind == "json_invalid":
        return f"the payload is no JSON: {message.removeprefix('Invalid JSON: ')}"
    if not subject:
        return "the payload must be a JSON object of parameter names and values"
    said = message[:1].lower() + message[1:]
    return f"{subject}: {said}, got {_shown(given)}"


def _shown(given: object) -> str:
    text = repr(given)
    if len(text) > _SHOWN_MAX:
        text = f"{text[:_SHOWN_MAX]}…"
    return f"{text} ({type(given).__name__})"


def is_message(annotation: object) -> bool:
    """Tells whether an annotation is a protobuf message class, without importing protobuf."""
    protobuf = sys.modules.get("google.protobuf.message")
    return (
        protobuf is not None
        and isinstance(annotation, type)
        and issubclass(annotation, protobuf.Message)
    )


def is_json(content_type: str) -> bool:
    """Tells whether a payload is to be read as JSON; one without a content type is."""
    name = content_type.split(";", 1)[0].strip().lower()
    return name in _JSON_NAMES or name.endswith("+json")


def encode_args(task: Task[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Encoded:
    """Checks arguments against the task's signature and packs them; raises PayloadError."""
    return task.codec.encode_args(args, kwargs)


def decode_args(
    task: Task[..., Any], data: bytes, content_type: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Unpacks a payload into what to call `task.fn` with; raises PayloadError."""
    return task.codec.decode_args(data, content_type)


def encode_result(task: Task[..., Any], value: Any) -> Encoded:
    """Checks and packs what `task.fn` returned; raises PayloadError."""
    return task.codec.encode_result(value)


def decode_result(task: Task[..., Any] | None, data: bytes, content_type: str) -> Any:
    """Unpacks a result; without a task by its content type alone; raises PayloadError.

    Without a task, what is not JSON stays bytes.
    """
    if task is not None:
        return task.codec.decode_result(data, content_type)
    if not content_type or not is_json(content_type):
        return data
    try:
        return from_json(data)
    except ValueError as error:
        raise PayloadError(f"the result is no JSON: {error}") from error
