"""The contract as its source says it: descriptors with comments, read by protoc itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import google.api.annotations_pb2  # noqa: F401  (else the paths of calls are unknown fields)
import grpc_tools
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

ROOT = Path(__file__).parents[2]
PROTO = ROOT / "proto"
BASELINE = PROTO / "baseline.binpb"
# Field numbers in descriptor.proto by which a source location names its element.
MESSAGE, ENUM, SERVICE, METHOD, NESTED, NESTED_ENUM = 4, 5, 6, 2, 3, 4
REASONS_WITH_CODE = re.compile(r"((?:[A-Z]+(?:_[A-Z]+)+, )*[A-Z]+(?:_[A-Z]+)+) \(([A-Z_]+)[,)]")


@dataclass(frozen=True)
class Rpc:
    """One method of a service, with what its comment says, on one line."""

    service: str
    name: str
    comment: str

    def __str__(self) -> str:
        return f"{self.service}.{self.name}"

    def reasons(self) -> Iterator[tuple[str, str]]:
        """Yields each error that the comment names, as reason and status code."""
        for reasons, code in REASONS_WITH_CODE.findall(self.comment):
            for reason in reasons.split(", "):
                yield reason, code


@cache
def files() -> tuple[FileDescriptorProto, ...]:
    """Compiles proto/ and returns our files, comments included."""
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    with TemporaryDirectory() as folder:
        image = Path(folder) / "image.binpb"
        ours = sorted(str(path) for path in PROTO.glob("pullwork/v1/*.proto"))
        flags = [f"-I{PROTO}", f"-I{well_known}", "--include_source_info"]
        assert protoc.main(["protoc", *flags, f"--descriptor_set_out={image}", *ours]) == 0
        return _ours(image.read_bytes())


@cache
def baseline() -> tuple[FileDescriptorProto, ...]:
    """Returns our files as they were when the baseline was taken."""
    return _ours(BASELINE.read_bytes())


def rpcs() -> list[Rpc]:
    """Returns every RPC of every service."""
    return [
        Rpc(service.name, method.name, _comment(file, (SERVICE, at, METHOD, nth)))
        for file in files()
        for at, service in enumerate(file.service)
        for nth, method in enumerate(service.method)
    ]


def service_comments() -> dict[str, str]:
    """Returns what is said of each service as a whole."""
    return {
        service.name: _comment(file, (SERVICE, at))
        for file in files()
        for at, service in enumerate(file.service)
    }


def every_comment() -> str:
    """Returns all that the protos say, for looking up a word."""
    return "\n".join(
        location.leading_comments for file in files() for location in file.source_code_info.location
    )


def _ours(image: bytes) -> tuple[FileDescriptorProto, ...]:
    parsed = FileDescriptorSet.FromString(image)
    return tuple(file for file in parsed.file if file.package == "pullwork.v1")


def _comment(file: FileDescriptorProto, path: tuple[int, ...]) -> str:
    for location in file.source_code_info.location:
        if tuple(location.path) == path:
            return " ".join(location.leading_comments.split())
    return ""
