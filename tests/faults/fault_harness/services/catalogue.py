"""All faults of services, in the order of the table."""

from __future__ import annotations

from fault_harness.services.faults import changes, engines, instances, links, masters, workers
from fault_harness.services.trial import Fault

FAULTS: tuple[Fault, ...] = (
    *instances.FAULTS,
    *workers.FAULTS,
    *links.FAULTS,
    *masters.FAULTS,
    *changes.FAULTS,
    *engines.FAULTS,
)
