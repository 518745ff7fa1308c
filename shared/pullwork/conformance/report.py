"""How findings are shown: a table for people, a document for programs."""

from __future__ import annotations

import json
from collections import Counter
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pullwork.conformance.findings import Findings, Grade
from pullwork.conformance.rules import Rule

_STYLES: Final = {Grade.PASSED: "green", Grade.BROKEN: "bold red", Grade.NOT_TRIED: "yellow"}


def print_rules(rules: tuple[Rule, ...], out: Console) -> None:
    """Prints every rule with the page that gives its reason."""
    table = Table("rule", "what it says", "see", box=None, pad_edge=False)
    for rule in rules:
        table.add_row(rule.id, rule.text, rule.page)
    out.print(table)


def print_findings(findings: Findings, out: Console) -> None:
    """Prints each rule with its grade and what was seen, and a line for all."""
    table = Table("rule", "", "what was seen", box=None, pad_edge=False)
    for finding in findings:
        style = _STYLES[finding.grade]
        seen = Text(finding.seen or finding.rule.text)
        if finding.grade is Grade.BROKEN:
            seen.append(f"\n{finding.rule.text}: {finding.rule.page}", style="dim")
        table.add_row(finding.rule.id, Text(finding.grade.value, style=style), seen)
    out.print(table)
    out.print(_summary(findings))


def document(findings: Findings) -> str:
    """Returns the findings as JSON."""
    rules = [
        {
            "rule": finding.rule.id,
            "text": finding.rule.text,
            "page": finding.rule.page,
            "grade": finding.grade.value.replace(" ", "_"),
            "seen": finding.seen,
        }
        for finding in findings
    ]
    return json.dumps({"conforms": conforms(findings), "rules": rules}, ensure_ascii=False)


def conforms(findings: Findings) -> bool:
    """Says whether no rule was broken and each was tried."""
    return all(finding.grade is Grade.PASSED for finding in findings)


def _summary(findings: Findings) -> Text:
    counts = Counter(finding.grade for finding in findings)
    parts = [f"{counts[grade]} {grade.value}" for grade in Grade if counts[grade]]
    return Text(", ".join(parts), style="bold green" if conforms(findings) else "bold red")
