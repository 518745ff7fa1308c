"""What was found out about each rule: the worst that was seen stands."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pullwork.conformance.rules import BY_ID, Rule


class Grade(enum.Enum):
    """What became of a rule."""

    PASSED = "passed"
    BROKEN = "broken"
    NOT_TRIED = "not tried"


@dataclass(frozen=True)
class Finding:
    """One rule's grade, with what was seen."""

    rule: Rule
    grade: Grade
    seen: str


class Findings:
    """The findings of all scenes about the rules that were asked for."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._found = {rule.id: Finding(rule, Grade.NOT_TRIED, "") for rule in rules}

    def passed(self, rule: str, seen: str) -> None:
        """Notes that a rule was kept, unless it was broken elsewhere."""
        self._note(rule, Grade.PASSED, seen, over=(Grade.NOT_TRIED,))

    def broken(self, rule: str, seen: str) -> None:
        """Notes that a rule was broken; what was seen first stays."""
        self._note(rule, Grade.BROKEN, seen, over=(Grade.NOT_TRIED, Grade.PASSED))

    def not_tried(self, rule: str, why: str) -> None:
        """Notes why a rule could not be tried, unless it was elsewhere."""
        if rule in self._found and not self._found[rule].seen:
            self._found[rule] = Finding(BY_ID[rule], Grade.NOT_TRIED, why)

    def _note(self, rule: str, grade: Grade, seen: str, over: tuple[Grade, ...]) -> None:
        known = self._found.get(rule)
        if known is not None and known.grade in over:
            self._found[rule] = Finding(known.rule, grade, seen)

    def of(self, rule: str) -> Grade | None:
        """Returns a rule's grade; None: it was not asked for."""
        return self._found[rule].grade if rule in self._found else None

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._found.values())

    def __len__(self) -> int:
        return len(self._found)
