"""The whole cluster in one thread: seeds that must hold, bugs that must be found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulator.cull import catch
from simulator.mutants import MUTANTS

HERE = Path(__file__).parent
# `make mutants` plants all of them; these are found within a second or two each.
QUICK = (
    "answer_before_commit",
    "lost_wake_up",
    "ghosts_for_ever",
    "grants_are_not_stored",
    "repeated_report_counted",
    "silence_ignored",
    "session_ids_repeat",
)
SEEDS = 1_000


@pytest.mark.timeout(600)
def test_no_seed_breaks_a_law() -> None:
    # In a process of its own: a pool's helpers would outlive the test in this one.
    hunt = subprocess.run(
        [sys.executable, "-m", "simulator", "--seeds", str(SEEDS)],
        check=False,
        capture_output=True,
        text=True,
        cwd=HERE,
    )
    assert hunt.returncode == 0, hunt.stdout + hunt.stderr


@pytest.mark.parametrize("seed", [3, 77])
def test_a_seed_tells_the_same_story_in_any_process(seed: int) -> None:
    stories = {
        subprocess.run(
            [sys.executable, "-m", "simulator", str(seed)],
            check=True,
            capture_output=True,
            cwd=HERE,
            # Whatever depended on the order of a set would differ by this.
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(stories) == 1
    assert stories.pop().count(b"\n") > 100


@pytest.mark.timeout(300)
@pytest.mark.parametrize("key", QUICK)
def test_a_planted_bug_is_found_and_its_law_named(key: str) -> None:
    assert catch(key, seeds_max=60).law


def test_every_planted_bug_has_a_name_of_its_own() -> None:
    names = [mutant.name for mutant in MUTANTS.values()]
    assert len(names) == len(set(names)) >= 15
