"""Some faults in their shortest form. `make faults` tries all of them, and longer."""

from __future__ import annotations

from pathlib import Path

import pytest
from fault_harness.catalogue import FAULTS
from fault_harness.fault import Fault, Scale
from fault_harness.faults.deadlines import Deadlines
from fault_harness.faults.lost_replies import LostReplies
from fault_harness.faults.master_killed import MasterKilled
from fault_harness.run import run_fault
from fault_harness.table import HEAD, cells, markdown, remarks

SHORT = {MasterKilled: 1, LostReplies: 1, Deadlines: 50}


@pytest.mark.parametrize(("fault", "times"), SHORT.items(), ids=lambda it: getattr(it, "name", ""))
async def test_the_law_of_a_fault_holds(fault: type[Fault], times: int, tmp_path: Path) -> None:
    row = await run_fault(fault, Scale(times=times), tmp_path / "trial")
    assert row.held, remarks(row)
    assert row.account is not None
    assert row.account.tasks > 0
    assert row.recoveries
    assert markdown([row]).count("|") == 3 * (len(HEAD) + 1)
    assert cells(row)[-1] == "holds"


@pytest.mark.parametrize(
    ("bug", "fault"), [("no-fence", LostReplies), ("answer-before-commit", MasterKilled)]
)
async def test_a_build_with_a_bug_is_found_out(
    bug: str, fault: type[Fault], tmp_path: Path
) -> None:
    row = await run_fault(fault, Scale(times=2), tmp_path / "trial", planted=bug)
    found = [problem for problem in row.problems if "broke off" not in problem]
    assert found, remarks(row)


def test_every_fault_has_a_name_and_a_law_of_its_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len({fault.law for fault in FAULTS})
