"""The locks say, with hashes, what the images install: all that pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PINNED = re.compile(r"^([a-z0-9._-]+)==([^ \\]+)", re.MULTILINE)
ENTRY = re.compile(r"^[a-z0-9][^\n]*(?:\n    [^\n]*)*", re.MULTILINE)

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS: list[tuple[str, list[str]]] = [
    (
        "requirements.lock",
        PROJECT["project"]["dependencies"]
        + PROJECT["project"]["optional-dependencies"]["containers"]
        + PROJECT["project"]["optional-dependencies"]["telemetry"],
    ),
    ("requirements-build.lock", PROJECT["build-system"]["requires"]),
]


@pytest.mark.parametrize(("lock", "asked"), LOCKS, ids=[name for name, _ in LOCKS])
def test_the_lock_has_what_the_project_asks_for(lock: str, asked: list[str]) -> None:
    pinned = dict(PINNED.findall((ROOT / lock).read_text()))
    missing = [
        text
        for text, requirement in ((text, Requirement(text)) for text in asked)
        if not requirement.specifier.contains(pinned.get(requirement.name.lower(), "0"))
    ]
    assert not missing, f"{lock} does not have {missing}; remedy: make lock"


@pytest.mark.parametrize("lock", [name for name, _ in LOCKS])
def test_everything_in_the_lock_has_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    entries = ENTRY.findall(text)
    assert len(entries) == len(PINNED.findall(text)) > 0
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text, "whoever builds has an index of their own"
