"""Tries many seeds on all processors, and replays one to tell its story."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Final, NamedTuple

from services_simulator.world import World

SEEDS_A_PIECE: Final = 50


class Found(NamedTuple):
    """A seed that broke a law."""

    seed: int
    error: str


def try_seeds(seeds: Sequence[int]) -> list[Found]:
    """Runs seeds one after the other; returns what broke."""
    found = []
    for seed in seeds:
        try:
            World(seed).run()
        except Exception as error:
            found.append(Found(seed, f"{type(error).__name__}: {error}"))
    return found


def hunt(seeds: Sequence[int], processes: int | None = None) -> Iterator[Found]:
    """Runs seeds on all processors; yields what broke."""
    pieces = [seeds[at : at + SEEDS_A_PIECE] for at in range(0, len(seeds), SEEDS_A_PIECE)]
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(processes or os.cpu_count(), mp_context=context) as pool:
        for founds in pool.map(try_seeds, pieces):
            yield from founds


def replay(seed: int) -> tuple[list[str], str]:
    """Runs one seed; returns its story, and what broke."""
    world = World(seed, told=True)
    try:
        world.run()
    except Exception:
        return world.story.lines, traceback.format_exc()
    return world.story.lines, ""


def main(arguments: Sequence[str]) -> int:
    """Hunts or replays, as the command line has it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="services_simulator", description=__doc__)
    parser.add_argument("seed", nargs="?", type=int, help="replay this seed and tell its story")
    parser.add_argument("--seeds", type=int, default=1_000, help="how many seeds to hunt")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--processes", type=int, default=None)
    options = parser.parse_args(arguments)
    if options.seed is not None:
        lines, broken = replay(options.seed)
        print("\n".join(lines))
        print(broken or f"seed {options.seed}: every law held")
        return 1 if broken else 0
    started = time.perf_counter()
    seeds = range(options.first, options.first + options.seeds)
    broken_seeds = 0
    for found in hunt(seeds, options.processes):
        broken_seeds += 1
        story = f"make sim-services SEED={found.seed}"
        print(f"seed {found.seed}: {found.error}\n  its story: {story}")
    took_s = time.perf_counter() - started
    print(f"{options.seeds} seeds in {took_s:.1f} s, {broken_seeds} broke a law")
    return 1 if broken_seeds else 0
