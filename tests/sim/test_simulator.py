"""The whole cluster in one thread: seeds that must hold, bugs that must be found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulator.cull import catch
from simulator.mutants import MUTANTS
from simulator.profile import CALL_FAULTS, FAULTS
from simulator.world import World

from pullwork_master.core.commands import Verdict
from pullwork_master.core.model import AttemptEnd, Cause
from pullwork_master.core.rejections import Reason

HERE = Path(__file__).parent
# `make mutants` plants all of them, and so does CI; these are found with the first seeds.
QUICK = (
    "answer_before_commit",
    "lost_wake_up",
    "ghosts_for_ever",
    "grants_are_not_stored",
    "repeated_report_counted",
    "silence_ignored",
    "session_ids_repeat",
    "limit_of_what_runs_ignored",
    "rate_ignored",
)
# CI has the time; at a desk, what a person waits for.
SEEDS = 10_000 if os.environ.get("CI") else 1_000


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
@pytest.mark.parametrize("key", MUTANTS if os.environ.get("CI") else QUICK)
def test_a_planted_bug_is_found_and_its_law_named(key: str) -> None:
    assert catch(key).law


def test_looking_closer_and_telling_the_story_change_nothing() -> None:
    for seed in range(15):
        ends = []
        for world in (World(seed), World(seed, told=True, every=1)):
            world.run()
            ends.append((world.events.now, world.events.happened))
        assert ends[0] == ends[1]


def test_the_seeds_meet_every_fault_verdict_and_end() -> None:
    """What is never met is not tried."""
    met: set[str] = set()
    for seed in range(600):
        world = World(seed)
        world.run()
        profile = world.profile
        met |= {*world.laws.met, *profile.faults, *profile.call_faults, *profile.deeds}
    ends = {end.name for end in AttemptEnd} - {"SUCCEEDED"}  # a success is no line of a story
    verdicts = {verdict.name for verdict in Verdict}
    # A call that overtakes its worker's last one is met by one seed in a thousand.
    causes = set(Cause) - {Cause.LEFT} | {Reason.SESSION_LOST, Reason.TASK_NOT_RETRYABLE}
    wanted = {*FAULTS, *CALL_FAULTS, *ends, *verdicts, *causes}
    assert wanted <= met, sorted(wanted - met)


def test_every_planted_bug_has_a_name_of_its_own() -> None:
    names = [mutant.name for mutant in MUTANTS.values()]
    assert len(names) == len(set(names)) >= 15
