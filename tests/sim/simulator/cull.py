"""Looks for each planted bug with the same seeds, and tells which law found it."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from simulator.mutants import MUTANTS, SEEDS_MAX, planted
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
    """Runs seeds with a bug planted until a law breaks."""
    with planted(MUTANTS[key]):
        for seed in range(seeds_max):
            try:
                World(seed).run()
            except Exception as error:
                law = error.law if isinstance(error, BrokenLawError) else str(error)
                if not isinstance(error, AssertionError):
                    law = f"{type(error).__name__}: {law}"
                return Catch(MUTANTS[key].name, seed + 1, seed, law.split(": (")[0][:90])
    return Catch(MUTANTS[key].name, seeds_max, -1, "")


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
