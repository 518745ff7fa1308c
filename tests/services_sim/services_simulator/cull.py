"""Plants each bug, runs the same seeds until a law breaks, and tells which that was."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Final, NamedTuple

from simulator.planting import Mutant, planted
from simulator.story import BrokenLawError

from services_simulator.mutants import MUTANTS
from services_simulator.world import World

# By then a bug that any seed can meet has been met.
SEEDS_MAX: Final = 1_500


class Catch(NamedTuple):
    """How a bug fared; `law` is empty if it survived."""

    mutant: str
    seeds: int
    law: str


def catch(key: str, seeds_max: int = SEEDS_MAX) -> Catch:
    """Runs seeds with a bug planted until a law breaks."""
    mutant = Mutant(MUTANTS[key])
    with planted(mutant):
        for seed in range(seeds_max):
            try:
                World(seed).run()
            except BrokenLawError as error:
                return Catch(mutant.name, seed + 1, error.law)
            except Exception as error:
                return Catch(mutant.name, seed + 1, f"{type(error).__name__}: {error}")
    return Catch(mutant.name, seeds_max, "")


def main(arguments: Sequence[str]) -> int:
    """Prints the table; returns 1 if a bug survived."""
    parser = argparse.ArgumentParser(prog="services_simulator.cull", description=__doc__)
    parser.add_argument("mutants", nargs="*", help="only these")
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX, help="how many to try of each")
    options = parser.parse_args(arguments)
    keys = options.mutants or list(MUTANTS)
    started = time.perf_counter()
    survivors = 0
    print(f"{'planted bug':<40} {'seeds':>5}  law that found it")
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        for found in pool.map(partial(catch, seeds_max=options.seeds), keys):
            survivors += not found.law
            law = found.law or "NONE: it survived"
            print(f"{found.mutant:<40} {found.seeds:>5}  {law[:100]}", flush=True)
    print(f"{len(keys)} planted in {time.perf_counter() - started:.0f} s, {survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
