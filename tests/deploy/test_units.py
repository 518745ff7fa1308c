"""The systemd units are such that systemd takes them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pullwork.settings.quantity import parse_duration

SYSTEMD = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = sorted(path.name for path in SYSTEMD.glob("*.service"))


def verified(folder: Path, name: str, text: str) -> subprocess.CompletedProcess[str]:
    """Has systemd read a unit, with a program that is there in place of the installed one."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze; remedy: apt-get install systemd")
    unit = folder / name
    unit.write_text(text.replace("/opt/pullwork/bin/pullwork", sys.executable))
    return subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_is_what_systemd_takes(tmp_path: Path, name: str) -> None:
    read = verified(tmp_path, name, (SYSTEMD / name).read_text())
    assert (read.returncode, read.stderr) == (0, "")


def test_a_misspelt_line_would_be_found(tmp_path: Path) -> None:
    text = (SYSTEMD / UNITS[0]).read_text().replace("TimeoutStopSec", "TimeoutStop")
    assert "TimeoutStop" in verified(tmp_path, UNITS[0], text).stderr


def test_a_nodes_instances_outlive_its_unit() -> None:
    text = (SYSTEMD / "pullwork-node.service").read_text()
    assert "KillMode=process" in text.splitlines()
    assert "DynamicUser" not in re.sub(r"^#.*$", "", text, flags=re.MULTILINE)


def test_a_worker_has_more_time_to_end_than_it_needs_to_drain() -> None:
    text = (SYSTEMD / "pullwork-worker@.service").read_text()
    grace = re.search(r"DRAIN_GRACE=(\S+)", text)
    stop = re.search(r"TimeoutStopSec=(\d+)", text)
    assert grace is not None
    assert stop is not None
    assert int(stop[1]) >= parse_duration(grace[1]) + 10
