"""Files of services: YAML, or JSON, which is a part of it.

All that stands there is text until a field says what it means, so nothing is guessed by how it
looks. What can make a small file large, or is not what it seems, is refused: anchors, tags, names
that stand twice.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pullwork.cli.service_document import Document, SpecReader
from pullwork.errors import InvalidFieldError
from pullwork.service_spec import ServiceSpec
from pullwork.settings.names import near

FILE_BYTES_MAX: Final = 1024 * 1024
TOP: Final = "services"
_PLAIN: Final = frozenset(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("str", "int", "float", "bool", "null", "timestamp", "merge", "seq", "map")
)
_EXAMPLE: Final = "write `services:` and below it each service by its name"


@dataclass
class FileOfServices:
    """A file as it was read: a document, and the line at which each of its paths stands."""

    name: str
    services: dict[str, Document] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def called(self, path: str) -> str:
        """Says where a path stands, e.g. `web.yaml, line 7: web.ports[0]`."""
        known = path
        while known and known not in self.lines:
            known = known[: max(known.rfind("."), known.rfind("["), 0)]
        line = self.lines.get(known)
        return f"{self.name}{f', line {line}' if line else ''}: {path}"


def read_services(names: Sequence[str]) -> dict[str, tuple[FileOfServices, ServiceSpec]]:
    """Reads files (`-` is stdin) and returns all their services by name, in their order.

    Raises InvalidFieldError that tells all that is wrong, a line each.
    """
    found: dict[str, tuple[FileOfServices, ServiceSpec]] = {}
    faults: list[str] = []
    for name in names:
        try:
            file = read_file(name)
        except InvalidFieldError as error:
            faults.append(str(error))
            continue
        reader = SpecReader(file.called)
        for service, document in file.services.items():
            spec = reader.read(document, service)
            if service in found:
                first = found[service][0].called(service)
                reader.fault(service, f"is there already, at {first}")
            found[service] = (file, ServiceSpec.from_proto(spec))
        faults += reader.faults
    if faults:
        raise InvalidFieldError("\n".join(faults))
    return found


def read_file(name: str) -> FileOfServices:
    """Reads one file; raises InvalidFieldError if it is no file of services."""
    shown = "stdin" if name == "-" else name
    file = FileOfServices(shown)
    top = _parse(_text(name, shown), file)
    if not isinstance(top, dict):
        raise InvalidFieldError(f"{shown} has no services: {_EXAMPLE}")
    for key in top:
        if key != TOP:
            raise InvalidFieldError(
                f"{file.called(key)} is not known{near(key, [TOP])}; {_EXAMPLE}"
            )
    services = top.get(TOP)
    if not isinstance(services, dict):
        raise InvalidFieldError(f"{shown} has no services: {_EXAMPLE}")
    file.services = services
    file.lines = {path.removeprefix(f"{TOP}."): line for path, line in file.lines.items()}
    return file


def _text(name: str, shown: str) -> str:
    try:
        if name == "-":
            data = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
        else:
            with Path(name).open("rb") as opened:
                data = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidFieldError(f"{shown} can't be read: {error.strerror}") from None
    if len(data) > FILE_BYTES_MAX:
        raise InvalidFieldError(
            f"{shown} is larger than {FILE_BYTES_MAX // 2**20} MiB: split it, and give each part "
            "by its own -f"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidFieldError(f"{shown} is no text in UTF-8: {error}") from None


def _parse(text: str, file: FileOfServices) -> Document:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    yaml = YAML(typ="safe", pure=True)
    try:
        node: Any = yaml.compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        words = error.problem or error.context or "it can't be read"
        raise InvalidFieldError(f"{file.name}, line {line}: no YAML: {words}") from None
    except YAMLError as error:
        raise InvalidFieldError(f"{file.name} is no YAML: {error}") from None
    except RecursionError:
        raise InvalidFieldError(f"{file.name} is nested too deeply") from None
    return None if node is None else _document(node, file, "")


def _document(node: Any, file: FileOfServices, path: str) -> Document:
    """Turns a node of YAML into a document, and notes its lines."""
    file.lines[path] = node.start_mark.line + 1
    where = f"{file.name}, line {file.lines[path]}"
    if node.anchor:
        raise InvalidFieldError(
            f"{where}: anchors and aliases (&{node.anchor}, *{node.anchor}) are not taken: write "
            "out what is meant"
        )
    if str(node.tag) not in _PLAIN:
        raise InvalidFieldError(f"{where}: the tag {node.tag} is not taken: leave it out")
    if node.id == "scalar":
        return str(node.value)
    if node.id == "sequence":
        return [_document(it, file, f"{path}[{index}]") for index, it in enumerate(node.value)]
    made: dict[str, Document] = {}
    for key, value in node.value:
        if key.id != "scalar":
            raise InvalidFieldError(f"{where}: a list or mapping can't be a name")
        if key.value in made:
            raise InvalidFieldError(
                f"{file.name}, line {key.start_mark.line + 1}: {key.value} stands twice"
            )
        inner = f"{path}.{key.value}" if path else str(key.value)
        made[str(key.value)] = _document(value, file, inner)
        file.lines[inner] = key.start_mark.line + 1
    return made
