"""Python's, Go's and Node's workers keep every rule; the command says so, and says what breaks."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest
from toolchain import GO, NODE, Language, built, search_path

from pullwork.conformance.rules import RULES

PYTHON = (sys.executable, "-m", "pullwork_worker", "--tasks", "pullwork.conformance.work")
PATIENCE_S = 240


async def conformance(*words: str) -> tuple[int, str, str]:
    """Runs `pullwork conformance` and returns its exit code, stdout and stderr."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from pullwork.cli.main import main; main()",
        "conformance",
        *words,
        env={"PATH": search_path()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        out, err = await program.communicate()
    assert program.returncode is not None
    return program.returncode, out.decode(), err.decode()


async def _keeps_every_rule(command: tuple[str, ...]) -> None:
    code, out, err = await conformance("--json", "--", *command)
    found: dict[str, Any] = json.loads(out)
    wrong = [rule for rule in found["rules"] if rule["grade"] != "passed"]
    assert not wrong, (json.dumps(wrong, indent=2), err)
    assert (code, found["conforms"]) == (0, True)
    assert [rule["rule"] for rule in found["rules"]] == [rule.id for rule in RULES]


async def test_the_worker_in_python_keeps_every_rule() -> None:
    await _keeps_every_rule(PYTHON)


@pytest.mark.parametrize("language", [GO, NODE], ids=lambda each: each.name)
async def test_a_worker_from_stubs_keeps_every_rule(language: Language) -> None:
    await _keeps_every_rule(built(language).worker)


async def test_the_rules_can_be_listed() -> None:
    code, out, _ = await conformance("--list")
    assert code == 0
    assert all(rule.id in out and rule.text in out for rule in RULES)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--only", "no-such-rule", "--", "true"], "no-such-rule"),
        ([], "two dashes"),
        (["--", "./no-such-program"], "no-such-program"),
    ],
    ids=["unknown rule", "no command", "no such program"],
)
async def test_wrong_use_is_refused_by_name(words: list[str], told: str) -> None:
    code, out, err = await conformance(*words)
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err


async def test_a_program_that_is_no_worker_breaks_the_first_rule() -> None:
    program = ("--only", "starts-first", "--", sys.executable, "-c", "print('hi')")
    code, out, _ = await conformance(*program)
    assert code == 1
    assert "without a master it exited with 0" in out


async def test_a_program_that_dies_is_told_with_its_last_words_and_not_started_again() -> None:
    dying = "print('no such file: settings.toml'); raise SystemExit(3)"
    only = ("--only", "credit", "--only", "cancel")
    code, out, _ = await conformance(*only, "--at-once", "1", "--", sys.executable, "-c", dying)
    assert code == 1
    assert "no process of it ever registered" in out
    assert "it exited with 3; its last words: no such file: settings.toml" in out
