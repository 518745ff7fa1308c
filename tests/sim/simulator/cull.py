"""Looks for each planted bug with the same seeds, and tells which law found it."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, islice

from simulator.mutants import MUTANTS
from simulator.planting import SEEDS_MAX, planted
from simulator.profile import draw
from simulator.story import BrokenLawError
from simulator.world import World


@dataclass(frozen=True, slots=True)
class Catch:
    """How a mutant fared; `law` is empty if it survived."""

    mutant: str
    seeds: int
    seed: int
    law: str


def catch(key: str, seeds_max: int = SEEDS_MAX) -> Catch:
    """Runs seeds that can meet a bug, with it planted, until a law breaks."""
    mutant = MUTANTS[key]
    seeds = (seed for seed in count() if mutant.may_meet(draw(random.Random(seed))))
    with planted(mutant):
        for tried, seed in enumerate(islice(seeds, seeds_max), 1):
            try:
                World(seed).run()
            except Exception as error:
                return Catch(mutant.name, tried, seed, _law(error))
    return Catch(mutant.name, seeds_max, -1, "")


def _law(error: Exception) -> str:
    if isinstance(error, BrokenLawError):
        return error.law
    # The core's own invariants say the law, then the facts in parentheses.
    words = str(error).split(": (")[0]
    return words if isinstance(error, AssertionError) else f"{type(error).__name__}: {words}"


def main(arguments: Sequence[str]) -> int:
    """Prints the table; returns 1 if a mutant survived."""
    parser = argparse.ArgumentParser(prog="simulator.cull", description=__doc__)
    parser.add_argument("mutants", nargs="*", help="only these")
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX, help="how many to try of each")
    options = parser.parse_args(arguments)
    keys = options.mutants or list(MUTANTS)
    started = time.perf_counter()
    survivors = 0
    print(f"{'planted bug':<36} {'seeds':>5}  law that found it")
    with multiprocessing.get_context("forkserver").Pool(os.cpu_count()) as pool:
        for found in pool.imap(partial(catch, seeds_max=options.seeds), keys):
            survivors += not found.law
            law = found.law or "NONE: it survived"
            print(f"{found.mutant:<36} {found.seeds:>5}  {law}", flush=True)
    print(f"{len(keys)} planted in {time.perf_counter() - started:.0f} s, {survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
