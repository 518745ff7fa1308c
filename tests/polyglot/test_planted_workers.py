"""The kit's own planted bugs: for each rule a worker that breaks it, and is caught by its name."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bad_workers import BROKEN

from pullwork.conformance.findings import Finding, Grade
from pullwork.conformance.rules import RULES
from pullwork.conformance.run import conform

PROGRAM = Path(__file__).with_name("bad_workers.py")
# Their scenes are mostly waiting; the starts of Python are what costs.
AT_ONCE = 8


def test_every_rule_has_a_worker_that_breaks_it() -> None:
    assert BROKEN.keys() - {"none"} == {rule.id for rule in RULES}


async def test_a_worker_that_breaks_a_rule_is_caught_by_the_rule_s_name() -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def tried(rule: str) -> list[Finding]:
        async with room:
            command = [sys.executable, str(PROGRAM), rule]
            return list(await conform(command, only=[rule], at_once=1))

    names = [rule.id for rule in RULES]
    found = await asyncio.gather(*map(tried, names))
    missed = [each for rule, each in zip(names, found, strict=True) if not _caught(rule, each)]
    assert not missed
    print(*(f"{each.rule.id}: {each.seen}" for (each,) in found), sep="\n")


def _caught(rule: str, found: list[Finding]) -> bool:
    return [(each.rule.id, each.grade) for each in found] == [(rule, Grade.BROKEN)]


async def test_the_same_worker_with_nothing_broken_keeps_every_rule() -> None:
    found = await conform([sys.executable, str(PROGRAM), "none"], at_once=AT_ONCE)
    assert {each.rule.id: each.seen for each in found if each.grade is not Grade.PASSED} == {}
