"""What the pages say of other languages is so."""

from __future__ import annotations

import re

from toolchain import ROOT

from pullwork.conformance.rules import RULES

EXAMPLES = ROOT / "examples"
NOTHING = re.compile(r"^\s*(//.*|/\*\*.*\*/)?$")
ROW = re.compile(r"^\| (`.*) \| (\d+) \| (\d+) \|$", re.MULTILINE)
# Each row of the page's table: the files in Go, and those in TypeScript.
PARTS = (
    ("go/client/*.go", "node/src/client.ts"),
    ("go/worker/*.go", "node/src/worker.ts"),
    ("go/pull/*.go", "node/src/pull.ts node/src/calls.ts"),
)


def test_every_rule_of_the_kit_is_in_the_checklist() -> None:
    page = (ROOT / "docs" / "any-language.md").read_text()
    items = "".join(re.findall(r"^- \[ \] .*$", page, re.MULTILINE))
    assert [rule.id for rule in RULES if f"`{rule.id}`" not in items] == []


def test_the_examples_are_no_longer_than_their_page_says() -> None:
    page = (EXAMPLES / "README.md").read_text()
    told = [(int(go), int(node)) for _, go, node in ROW.findall(page)]
    found = [tuple(sum(map(_lines, each.split())) for each in part) for part in PARTS]
    assert len(told) == len(found)
    too_long = [
        (part, have, may)
        for part, have, may in zip(PARTS, found, told, strict=True)
        if have[0] > may[0] or have[1] > may[1]
    ]
    assert too_long == []


def _lines(pattern: str) -> int:
    texts = [path.read_text() for path in EXAMPLES.glob(pattern)]
    assert texts, pattern
    return sum(not NOTHING.match(line) for text in texts for line in text.splitlines())
