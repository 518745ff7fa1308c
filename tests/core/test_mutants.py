"""Every planted bug is caught by each of its checks, and each check passes without the bug."""

from __future__ import annotations

import mutants_of_contact
import mutants_of_limits
import mutants_of_pacing
import mutants_of_services
import mutants_of_work
import pytest
from planting import Check, Mutant, judge

GARDENS = (
    mutants_of_work.GARDEN,
    mutants_of_limits.GARDEN,
    mutants_of_contact.GARDEN,
    mutants_of_pacing.GARDEN,
    mutants_of_services.GARDEN,
)
MUTANTS = [mutant for garden in GARDENS for mutant in garden.mutants]
CHECKS = {mutant.check.__name__: mutant.check for mutant in MUTANTS}


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_planted_bug_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.plant(monkeypatch)
    try:
        judge(mutant.check)
    # What `pytest.raises` raises when nothing was refused is no Exception.
    except (Exception, pytest.fail.Exception):
        return
    pytest.fail(f"{mutant} was not caught")


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_a_check_passes_without_the_bug(check: Check) -> None:
    judge(check)
