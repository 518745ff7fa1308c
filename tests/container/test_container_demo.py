"""The demo over containers: right totals through a kill, a second group and a new master."""

from __future__ import annotations

import subprocess
import sys

from built_images import ROOT, Images


def test_the_totals_are_right_through_kills_and_a_second_group(images: Images) -> None:
    tag = images.master.partition(":")[2]
    program = [sys.executable, str(ROOT / "examples" / "containers" / "demo.py"), "--tag", tag]
    ran = subprocess.run(
        [*program, "--dir", str(ROOT / "shared")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for told in ("KILLED worker", "KILLED the master", "SCALING OUT", "RIGHT"):
        assert told in ran.stdout, ran.stdout
