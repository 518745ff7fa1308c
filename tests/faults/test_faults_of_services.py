"""Some faults of services in one run, with instances that are processes; and builds with bugs.

`make faults-services` tries all of them, and containers.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fault_harness.services.catalogue import FAULTS
from fault_harness.services.plant import FOUND_BY, find
from fault_harness.services.planted import BUGS
from fault_harness.services.run import Ground, run
from fault_harness.services.table import HEAD, as_it_goes, markdown

SHORT = {"instances-killed", "worker-killed", "link-cut-for-long", "master-killed", "bad-update"}

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]


async def test_the_law_holds_after_each_of_some_faults(tmp_path: Path) -> None:
    faults = [fault for fault in FAULTS if fault.name in SHORT]
    rows = [row async for row in run(faults, Ground(tmp_path, leeway=4.0))]
    assert [row.fault for row in rows if row.held] == [
        "created",
        *(fault.name for fault in faults),
        "deleted",
    ], "\n".join(map(as_it_goes, rows))
    assert all(row.recoveries for row in rows)
    assert markdown(rows).count("|") == (len(rows) + 2) * (len(HEAD) + 1)


@pytest.mark.parametrize("bug", BUGS)
async def test_a_build_with_a_bug_of_services_is_found_out(bug: str, tmp_path: Path) -> None:
    assert await find(bug, tmp_path)


def test_every_fault_has_a_name_and_a_story_of_its_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len({fault.told for fault in FAULTS})
    assert len(FAULTS) >= 24
    assert set(FOUND_BY) == set(BUGS)
    assert set(FOUND_BY.values()) <= {fault.name for fault in FAULTS}
