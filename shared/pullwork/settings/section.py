"""What a section of the settings is: a frozen model whose fields have a name, a default,
a meaning, an environment variable and a flag.

A section knows nothing of where its values come from; `load` does.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    Union,
    get_args,
    get_origin,
)

import annotated_types
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from pullwork.settings.quantity import Allowed, Duration

PREFIX: Final = "PULLWORK_"
ADDRESS_VARIABLE: Final = "PULLWORK_ADDRESS"
DEFAULT_ADDRESS: Final = "127.0.0.1:7733"


@dataclass(frozen=True)
class Env:
    """Gives a field another environment variable than `PULLWORK_<SECTION>_<FIELD>`."""

    name: str


@dataclass(frozen=True)
class DefaultText:
    """Says in words what a default is that each machine computes for itself."""

    text: str


def check_address(value: str) -> str:
    """Returns `host:port` unchanged; raises ValueError for anything else."""
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("not an address")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError("not an address")
    return value


# `host:port`, e.g. where a master listens. Port 0 means: any free one.
HostPort = Annotated[
    str,
    AfterValidator(check_address),
    Allowed("host:port, e.g. 127.0.0.1:7733 or [::1]:7733"),
]

# The address of the master, the same variable for whoever calls it.
MasterAddress = Annotated[HostPort, Env(ADDRESS_VARIABLE)]


class Section(BaseModel):
    """One table of the settings file: subclass it, set `section`, and give each field a
    default and a `description`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    section: ClassVar[str]

    @classmethod
    def settings(cls) -> Iterator[Setting]:
        """Yields the fields in their order of definition."""
        for name, field in cls.model_fields.items():
            yield Setting(cls.section, name, field)


@dataclass(frozen=True)
class Setting:
    """One field of a section, with all its names."""

    section: str
    name: str
    field: FieldInfo

    @property
    def path(self) -> str:
        """Its name in the file, e.g. `worker.slots`."""
        return f"{self.section}.{self.name}"

    @property
    def flag(self) -> str:
        """Its flag, e.g. `--ready-file`."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its environment variable."""
        for item in metadata_of(self.field):
            if isinstance(item, Env):
                return item.name
        return f"{PREFIX}{self.section}_{self.name}".upper()

    @property
    def allowed(self) -> str:
        """What it takes, in words."""
        return describe(self.field.annotation, self.field.metadata)

    @property
    def allowed_briefly(self) -> str:
        """The same, for where durations and sizes were explained before."""
        return describe(self.field.annotation, self.field.metadata, brief=True)

    @property
    def meaning(self) -> str:
        """Its description, on one line."""
        return " ".join((self.field.description or "").split())


def metadata_of(field: FieldInfo) -> Iterator[object]:
    """Yields what stands in `Annotated` around a field's type, also within `X | None`."""
    yield from field.metadata
    yield from _nested(field.annotation)


def _nested(annotation: Any) -> Iterator[object]:
    if get_origin(annotation) is Annotated:
        yield from get_args(annotation)[1:]
    if get_origin(annotation) in (Union, types.UnionType):
        for option in get_args(annotation):
            yield from _nested(option)


def plain_type(annotation: Any) -> tuple[Any, bool]:
    """Splits `X | None` into X and whether None is allowed, and takes `Annotated` off."""
    optional = False
    if get_origin(annotation) in (Union, types.UnionType):
        options = [option for option in get_args(annotation) if option is not type(None)]
        optional = len(options) < len(get_args(annotation))
        if len(options) == 1:
            annotation = options[0]
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation, optional


def describe(annotation: Any, metadata: list[Any], *, brief: bool = False) -> str:
    """Says in words what values a type takes, with its bounds."""
    base, optional = plain_type(annotation)
    notes = [*metadata, *_nested(annotation)]
    told = next((note for note in notes if isinstance(note, Allowed)), None)
    if told is None:
        words = _describe_plain(base)
    else:
        words = told.name if brief and told.name else told.text
    words += _bounds(notes)
    return f'{words}, or "none"' if optional else words


_PLAIN: Final[Mapping[Any, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
}


def _describe_plain(base: Any) -> str:
    origin = get_origin(base) or base
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(base))
    if isinstance(origin, type) and issubclass(origin, Enum):
        return "one of " + ", ".join(str(choice.value) for choice in origin)
    if origin in (list, tuple, set, frozenset):
        item = next(iter(get_args(base)), None)
        of = f" of {', '.join(map(str, get_args(item)))}" if get_origin(item) is Literal else ""
        return f"a list{of}; in a variable separated by commas"
    if origin in (dict, Mapping):
        return "a table of words; in a variable as name=value, separated by commas"
    return _PLAIN.get(origin, "a value of its type")


def _bounds(notes: list[Any]) -> str:
    write = next((note.write for note in notes if isinstance(note, Allowed)), str)
    low = high = ""
    for note in notes:
        if isinstance(note, annotated_types.Ge):
            low = f"from {write(note.ge)}"
        elif isinstance(note, annotated_types.Gt):
            low = f"more than {write(note.gt)}"
        elif isinstance(note, annotated_types.Le):
            high = f"up to {write(note.le)}"
        elif isinstance(note, annotated_types.Lt):
            high = f"to less than {write(note.lt)}"
        elif isinstance(note, annotated_types.MinLen):
            low = f"{note.min_length} or more long"
        elif isinstance(note, annotated_types.MaxLen):
            least = low.partition(" ")[0]
            low = ""
            high = f"{least or 0} to {note.max_length} long"
    both = " ".join(part for part in (low, high) if part)
    return f", {both}" if both else ""


class ClientSettings(Section):
    """What a client and the command line need to know."""

    section: ClassVar[str] = "client"

    address: MasterAddress = Field(
        default=DEFAULT_ADDRESS, description="The master to talk to, as host:port."
    )
    timeout: Duration = Field(
        default=10.0,
        gt=0,
        description="How long the command line waits for the master's answer to one call; "
        "waiting for tasks is not bounded by it.",
    )
