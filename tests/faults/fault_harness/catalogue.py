"""All faults, in the order of the table."""

from __future__ import annotations

from fault_harness.fault import Fault
from fault_harness.faults.blocked import Blocked
from fault_harness.faults.clock_jumps import ClockJumps
from fault_harness.faults.damaged_files import DamagedFiles
from fault_harness.faults.deadlines import Deadlines
from fault_harness.faults.disk_full import DiskFull
from fault_harness.faults.frozen_master import MasterFrozen
from fault_harness.faults.frozen_worker import WorkerFrozen
from fault_harness.faults.link_flaps import LinkFlaps
from fault_harness.faults.lost_replies import LostReplies
from fault_harness.faults.master_killed import MasterKilled
from fault_harness.faults.network_cut import NetworkCut
from fault_harness.faults.planted_builds import PlantedBuilds
from fault_harness.faults.poison import Poison
from fault_harness.faults.two_masters import TwoMasters
from fault_harness.faults.worker_killed import WorkerKilled

FAULTS: tuple[type[Fault], ...] = (
    MasterKilled,
    WorkerKilled,
    WorkerFrozen,
    Blocked,
    NetworkCut,
    LinkFlaps,
    LostReplies,
    MasterFrozen,
    Poison,
    DiskFull,
    DamagedFiles,
    ClockJumps,
    TwoMasters,
    Deadlines,
    PlantedBuilds,
)
