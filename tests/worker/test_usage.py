"""What a worker says of its node's load, with files as the kernel writes them for a group."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from pullwork_worker.usage import Usage

GIB = 1 << 30


@dataclass
class Kernel:
    """A tree of control groups, and the group that this process is in."""

    folder: Path

    def says(self, file: str, text: str) -> None:
        path = self.folder / "groups" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")

    def this_process(self, *lines: str) -> None:
        (self.folder / "self").write_text("\n".join(lines) + "\n")

    def usage(self) -> Usage:
        groups, of_process = self.folder / "groups", self.folder / "self"
        return Usage(100.0, groups=groups, of_process=of_process)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """A kernel with an idle machine around it: what the group says is all there is."""
    monkeypatch.setattr(Usage, "_machine", lambda _: 0.01)
    return Kernel(tmp_path)


def _version_2(kernel: Kernel, group: str) -> None:
    kernel.this_process(f"0::/{group}")
    kernel.says(f"{group}/cgroup.controllers", "cpu memory")
    kernel.says(f"{group}/cpu.max", "50000 100000")
    kernel.says(f"{group}/cpu.stat", "usage_usec 1000000\nuser_usec 1000000")
    kernel.says(f"{group}/memory.max", str(8 * 1024 * GIB))
    kernel.says(f"{group}/memory.current", "0")


def _version_1(kernel: Kernel, inside: str) -> None:
    kernel.this_process(f"9:cpuacct:{inside}", f"4:memory:{inside}", f"1:cpu:{inside}", "0::/")
    kernel.says("cpu/cpu.cfs_quota_us", "50000")
    kernel.says("cpu/cpu.cfs_period_us", "100000")
    kernel.says("cpuacct/cpuacct.usage", "1000000000")
    kernel.says("memory/memory.limit_in_bytes", str(8 * 1024 * GIB))
    kernel.says("memory/memory.usage_in_bytes", "0")


def test_a_group_with_half_a_core_is_full_when_it_used_half_the_time(kernel: Kernel) -> None:
    _version_2(kernel, "machine.slice/node")
    usage = kernel.usage()
    kernel.says("machine.slice/node/cpu.stat", "usage_usec 1500000\nuser_usec 1")
    assert usage.cpu(102.0) == pytest.approx(0.5)
    kernel.says("machine.slice/node/cpu.stat", "usage_usec 2500000\nuser_usec 1")
    assert usage.cpu(104.0) == pytest.approx(1.0)
    assert usage.cpu(106.0) == pytest.approx(0.01)


def test_the_bound_of_a_group_around_it_counts_too(kernel: Kernel) -> None:
    _version_2(kernel, "machine.slice")
    kernel.this_process("0::/machine.slice/node")
    kernel.says("machine.slice/node/cgroup.controllers", "cpu memory")
    kernel.says("machine.slice/node/cpu.max", "max 100000")
    usage = kernel.usage()
    kernel.says("machine.slice/cpu.stat", "usage_usec 1500000")
    assert usage.cpu(102.0) == pytest.approx(0.5)


def test_a_container_of_version_1_reads_its_own_group_at_the_root(kernel: Kernel) -> None:
    _version_1(kernel, "/docker/0123abcd")
    usage = kernel.usage()
    kernel.says("cpuacct/cpuacct.usage", "1500000000")
    assert usage.cpu(102.0) == pytest.approx(0.5)


def test_files_that_nobody_reads_are_no_memory_in_use(kernel: Kernel) -> None:
    _version_2(kernel, "node")
    kernel.says("node/memory.max", str(GIB))
    kernel.says("node/memory.current", str(GIB))
    kernel.says("node/memory.stat", f"anon 5\ninactive_file {GIB // 100}")
    assert kernel.usage().memory() == pytest.approx(0.99)


def test_without_a_bound_the_machine_is_what_counts(kernel: Kernel) -> None:
    _version_2(kernel, "node")
    kernel.says("node/cpu.max", "max 100000")
    kernel.says("node/memory.max", "max")
    kernel.says("node/memory.current", str(GIB))
    usage = kernel.usage()
    kernel.says("node/cpu.stat", "usage_usec 900000000")
    assert usage.cpu(102.0) == pytest.approx(0.01)
    assert 0 < usage.memory() < 1


def test_a_machine_without_control_groups_is_measured(tmp_path: Path) -> None:
    usage = Usage(1.0, groups=tmp_path, of_process=tmp_path / "none")
    assert 0 <= usage.cpu(2.0) <= 1
    assert 0 < usage.memory() < 1


def test_what_there_is_to_use_is_what_the_group_is_bound_to(kernel: Kernel) -> None:
    kernel.this_process("0::/unit")
    kernel.says("unit/cgroup.controllers", "cpu memory")
    assert kernel.usage().capacity()[1] > GIB // 4
    kernel.says("unit/cpu.max", "50000 100000")
    kernel.says("unit/cpu.stat", "usage_usec 0")
    kernel.says("unit/memory.max", str(GIB // 4))
    assert kernel.usage().capacity() == (0.5, GIB // 4)


def test_a_bound_that_is_lifted_bounds_no_more(kernel: Kernel) -> None:
    _version_2(kernel, "node")
    kernel.says("node/memory.max", str(GIB // 4))
    kernel.says("node/memory.current", str(GIB // 4))
    usage = kernel.usage()
    assert (usage.memory(), usage.capacity()[1]) == (1.0, GIB // 4)
    kernel.says("node/memory.max", "max")
    assert 0 < usage.memory() < 1
    assert usage.capacity()[1] > GIB // 4
