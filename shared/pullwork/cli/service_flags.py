"""The options that describe a service, and what they mean together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from pullwork.cli.service_document import Document
    from pullwork.service_spec import ServiceSpec

Command = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="-- COMMAND ARGUMENTS",
        help="The program; without --image it runs as a process of the node.",
    ),
]
Image = Annotated[str | None, typer.Option(help="The image of its containers, e.g. nginx:1.27.")]
Instances = Annotated[
    str | None, typer.Option("--instances", "-n", metavar="N", help="How many; of a new one 1.")
]
Ports = Annotated[
    list[str] | None,
    typer.Option(
        "--port",
        "-p",
        metavar="PORT",
        help="Where it can be reached: 80, NAME=80, 8080:80 (8080 on its node), or a NAME only: a "
        "free port, which a process finds in $PORT. May be repeated.",
    ),
]
EnvWords = Annotated[
    list[str] | None,
    typer.Option(
        "--env",
        "-e",
        metavar="NAME=VALUE",
        help="An environment variable; NAME alone: as it is here. May be repeated.",
    ),
]
EnvFiles = Annotated[
    list[Path] | None,
    typer.Option("--env-file", metavar="FILE", help="A file of NAME=VALUE lines."),
]
Cpus = Annotated[str | None, typer.Option(metavar="CORES", help="What one may take, e.g. 0.5.")]
Memory = Annotated[str | None, typer.Option(metavar="SIZE", help="What one may take, e.g. 256MiB.")]
Health = Annotated[
    str | None,
    typer.Option(
        metavar="CHECK",
        help="How to tell whether one is well: http:/PATH, tcp, or cmd:PROGRAM ARGUMENTS; without "
        "it one that runs is well.",
    ),
]
Constraints = Annotated[
    list[str] | None,
    typer.Option(
        "--constraint",
        metavar="LABEL=VALUE",
        help="Only on nodes with this label. May be repeated.",
    ),
]
SpreadBy = Annotated[
    str | None,
    typer.Option(
        metavar="LABEL",
        help="Spread instances evenly over the values of this label of the nodes.",
    ),
]
MaxPerNode = Annotated[str | None, typer.Option(metavar="N", help="At most so many on one node.")]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", "-l", metavar="NAME=VALUE", help="A word about it. May be repeated."),
]
StopGrace = Annotated[
    str | None,
    typer.Option(metavar="SPAN", help="How long one may take to end; of a new one 10s."),
]
StopDelay = Annotated[
    str | None,
    typer.Option(
        metavar="SPAN",
        help="How long one that is to end serves on until its callers have heard of it; of a new "
        "one with ports 2s.",
    ),
]
ReplaceAfter = Annotated[
    str | None,
    typer.Option(
        metavar="SPAN",
        help="Replace the instances of a node that can't be reached after this; of a new one 30s.",
    ),
]

# The paths that a flag's faults have, and what the flag is called.
_FLAGS: Final = {
    "command": "the command",
    "ports": "--port",
    "labels": "--label",
    "env": "--env",
    "resources.cpus": "--cpus",
    "resources.memory": "--memory",
    "placement.constraints": "--constraint",
    "placement.spread_by": "--spread-by",
    "placement.max_per_node": "--max-per-node",
    "disconnect.replace_after": "--replace-after",
}
# Of these parts a flag says a part: the rest stays as it is.
_MERGED: Final = ("resources", "placement", "disconnect")
_ENV_FILE_BYTES_MAX: Final = 1024 * 1024


def spec_of_flags(given: Mapping[str, Any], before: ServiceSpec | None = None) -> ServiceSpec:
    """Returns what the options of a command say; raises InvalidFieldError that names them.

    `before` is the service as it is: what is said of a part of it leaves the others of that part.
    """
    from pullwork.cli.service_document import SpecReader, document_of
    from pullwork.service_spec import ServiceSpec

    document = _document(given)
    if before is not None:
        was = document_of(before.to_proto())
        for part in _MERGED:
            if part in document:
                document[part] = {**_renamed(was.get(part, {})), **document[part]}
    reader = SpecReader(_called)
    spec = reader.read(document, "")
    reader.check()
    return ServiceSpec.from_proto(spec)


def _called(path: str) -> str:
    head = path.partition("[")[0]
    for known, flag in _FLAGS.items():
        if head == known or head.startswith(f"{known}."):
            return flag
    return f"--{head.partition('.')[0].replace('_', '-')}"


def _renamed(part: Mapping[str, Document]) -> dict[str, Document]:
    return {"memory" if key == "memory_bytes" else key: it for key, it in part.items()}


def _document(given: Mapping[str, Any]) -> dict[str, Document]:
    env = None
    if given.get("env") is not None or given.get("env_file") is not None:
        env = {**_read_files(given.get("env_file") or []), **_environment(given.get("env") or [])}
    document = {
        "image": given.get("image"),
        "command": given.get("command") or None,
        "instances": given.get("instances"),
        "ports": given.get("port"),
        "env": env,
        "health": given.get("health"),
        "labels": _pairs(given.get("label"), "--label"),
        "stop_grace": given.get("stop_grace"),
        "stop_delay": given.get("stop_delay"),
        "resources": _said(cpus=given.get("cpus"), memory=given.get("memory")),
        "placement": _said(
            constraints=_pairs(given.get("constraint"), "--constraint"),
            spread_by=given.get("spread_by"),
            max_per_node=given.get("max_per_node"),
        ),
        "disconnect": _said(replace_after=given.get("replace_after")),
    }
    return {key: value for key, value in document.items() if value is not None}


def _said(**parts: Document | None) -> dict[str, Document] | None:
    return {key: value for key, value in parts.items() if value is not None} or None


def _pairs(words: Sequence[str] | None, flag: str) -> dict[str, str] | None:
    if words is None:
        return None
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise _bad(f"{flag} can't be {word!r}: write NAME=VALUE")
        pairs[name] = value
    return pairs


def _environment(words: Sequence[str]) -> dict[str, str]:
    variables = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name:
            raise _bad(f"--env can't be {word!r}: write NAME=VALUE")
        if not equals and name not in os.environ:
            raise _bad(f"--env {name}: there is no such variable here; write {name}=VALUE")
        variables[name] = value if equals else os.environ[name]
    return variables


def _read_files(paths: Sequence[Path]) -> dict[str, str]:
    variables = {}
    for path in paths:
        try:
            with path.open("rb") as opened:
                text = opened.read(_ENV_FILE_BYTES_MAX + 1).decode()
        except OSError as error:
            raise _bad(f"--env-file {path} can't be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise _bad(f"--env-file {path} is no text in UTF-8") from None
        if len(text) > _ENV_FILE_BYTES_MAX:
            raise _bad(f"--env-file {path} is larger than 1 MiB")
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            name, equals, value = line.partition("=")
            if not equals or not name.strip():
                raise _bad(f"--env-file {path}, line {number}: {line!r} is not NAME=VALUE")
            variables[name.strip()] = value
    return variables


def _bad(message: str) -> Exception:
    from pullwork.errors import InvalidFieldError

    return InvalidFieldError(message)
