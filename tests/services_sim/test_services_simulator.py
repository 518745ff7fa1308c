"""Services over a few nodes in one thread: seeds that must hold, bugs that must be found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from services_simulator.cull import catch
from services_simulator.mutants import MUTANTS
from services_simulator.world import World

from pullwork_master.reconciler.model import Rolling

HERE = Path(__file__).parent
# CI has the time; at a desk, what a person waits for.
SEEDS = 5_000 if os.environ.get("CI") else 500


def simulator(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    """Runs the simulator in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "services_simulator", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=HERE,
        # Whatever depended on the order of a set would differ by the seed of hashes.
        env={**os.environ, "PYTHONPATH": f"{HERE.parent / 'sim'}", "PYTHONHASHSEED": hash_seed},
    )


@pytest.mark.timeout(600)
def test_no_seed_breaks_a_law() -> None:
    hunt = simulator("--seeds", str(SEEDS))
    assert hunt.returncode == 0, hunt.stdout + hunt.stderr


@pytest.mark.parametrize("seed", [3, 77])
def test_a_seed_tells_the_same_story_in_any_process(seed: int) -> None:
    stories = {simulator(str(seed), hash_seed=each).stdout for each in ("1", "2")}
    assert len(stories) == 1
    assert stories.pop().count("\n") > 20


@pytest.mark.timeout(300)
@pytest.mark.parametrize("key", MUTANTS)
def test_a_planted_bug_is_found_and_its_law_named(key: str) -> None:
    assert catch(key).law


def test_telling_the_story_changes_nothing() -> None:
    for seed in range(10):
        ends = []
        for world in (World(seed), World(seed, told=True)):
            world.run()
            ends.append((world.length_ms, world.laws.plans))
        assert ends[0] == ends[1]


def test_the_seeds_meet_every_situation() -> None:
    """What is never met is not tried."""
    met: set[str] = set()
    for seed in range(150):
        world = World(seed)
        world.run()
        met |= world.laws.met
    states = {state.name for state in Rolling} - {Rolling.ROLLING.name}
    wanted = {*states, "lack", "lost", "relief", "leaves", "waited", "at once", "rolling stop"}
    assert wanted <= met, sorted(wanted - met)


def test_every_planted_bug_has_a_name_of_its_own() -> None:
    assert len(MUTANTS) >= 15
