"""What the contract promises of itself: comments, errors, numbers, and fresh pages."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import protos
import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto

from pullwork.errors import BY_REASON, WIRE_ERRORS

RPCS = protos.rpcs()
# Said once for each service, not with every RPC.
SAID_OF_ALL = {"INTERNAL", "SHUTTING_DOWN"}


@pytest.mark.parametrize("rpc", RPCS, ids=str)
def test_an_rpc_says_its_errors(rpc: protos.Rpc) -> None:
    assert "Errors:" in rpc.comment
    assert list(rpc.reasons()) or re.search(r"Errors: (none of its own|those of \w+)", rpc.comment)


@pytest.mark.parametrize("rpc", RPCS, ids=str)
def test_an_rpc_says_whether_it_is_safe_to_repeat(rpc: protos.Rpc) -> None:
    assert re.search(r"(S|Not s)afe to repeat", rpc.comment)


@pytest.mark.parametrize("rpc", RPCS, ids=str)
def test_an_rpc_names_only_errors_of_the_table_with_their_codes(rpc: protos.Rpc) -> None:
    assert {reason: BY_REASON[reason].code for reason, _ in rpc.reasons()} == dict(rpc.reasons())


@pytest.mark.parametrize("error", WIRE_ERRORS, ids=lambda it: it.reason)
def test_an_error_of_the_table_is_named_in_the_contract(error: type) -> None:
    assert re.search(rf"\b{error.reason}\b", protos.every_comment())


@pytest.mark.parametrize("service", protos.service_comments())
def test_a_service_says_the_errors_of_every_call(service: str) -> None:
    comment = protos.service_comments()[service]
    assert {it for it in SAID_OF_ALL if it in comment} == SAID_OF_ALL


def test_reasons_are_unique_and_have_a_code_and_a_message() -> None:
    assert len(BY_REASON) == len(WIRE_ERRORS)
    for error in WIRE_ERRORS:
        assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", error.reason)
        assert error.code != "UNKNOWN"
        assert str(error()).endswith(".")


def _messages(nested: Iterator[DescriptorProto], prefix: str) -> Iterator[tuple[str, object]]:
    for message in nested:
        yield prefix + message.name, message
        yield from ((f"{prefix}{message.name}.{it.name}", it) for it in message.enum_type)
        yield from _messages(message.nested_type, f"{prefix}{message.name}.")


def _numbers(files: tuple[object, ...]) -> dict[str, dict[int, str]]:
    """Returns for each message and enum: which number has which name, reserved ones included."""
    found: dict[str, dict[int, str]] = {}
    for file in files:
        noted = [*_messages(file.message_type, ""), *((it.name, it) for it in file.enum_type)]
        for name, it in noted:
            members = it.value if isinstance(it, EnumDescriptorProto) else it.field
            found[name] = {member.number: member.name for member in members}
            # The end of a range is part of it in an enum, and past it in a message.
            past = 1 if isinstance(it, EnumDescriptorProto) else 0
            for kept in it.reserved_range:
                found[name] |= dict.fromkeys(range(kept.start, kept.end + past), "")
    return found


def test_a_number_once_given_keeps_its_name_or_is_reserved() -> None:
    now = _numbers(protos.files())
    for message, numbers in _numbers(protos.baseline()).items():
        for number, name in numbers.items():
            assert now[message].get(number) in {name, ""}, f"{message}: {number} was {name}"


def test_an_enum_begins_with_unspecified() -> None:
    enums = {it.name: it for file in protos.files() for it in file.enum_type}
    assert enums
    for enum in enums.values():
        assert enum.value[0].number == 0
        assert enum.value[0].name.endswith("_UNSPECIFIED")


@pytest.mark.parametrize(
    "page",
    [
        "docs/errors.md",
        "docs/task-life.svg",
        "docs/configuration.md",
        "docs/cli.md",
        "master_svc/pullwork_master/gateway/openapi.json",
    ],
)
def test_a_page_made_from_code_is_what_the_code_makes(page: str) -> None:
    script = protos.ROOT / "docs" / "gen" / (Path(page).stem.replace("-", "_") + ".py")
    made = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True)
    assert made.stdout == (protos.ROOT / page).read_text(encoding="utf-8"), "remedy: make docs"


@pytest.mark.parametrize("rpc", RPCS, ids=str)
def test_the_overview_of_the_contract_lists_every_rpc(rpc: protos.Rpc) -> None:
    overview = (protos.ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    rows = [line for line in overview.splitlines() if line.startswith(f"| [{rpc.service}]")]
    assert len(rows) == 1
    assert re.search(rf"\b{rpc.name}\b", rows[0])
