"""Tries many seeds on all processors, and replays one to tell its story."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Final

from simulator.story import Story
from simulator.world import World

SEEDS_A_PIECE: Final = 50


@dataclass(frozen=True, slots=True)
class Found:
    """A seed that broke a law."""

    seed: int
    error: str


def try_seed(seed: int) -> Found | None:
    """Runs one seed; returns what broke."""
    try:
        World(seed).run()
    except Exception as error:
        return Found(seed, f"{type(error).__name__}: {error}")
    return None


def try_seeds(seeds: Sequence[int]) -> list[Found]:
    """Runs seeds one after the other."""
    return [found for seed in seeds if (found := try_seed(seed)) is not None]


def hunt(seeds: Sequence[int], processes: int | None = None) -> Iterator[Found]:
    """Runs seeds on all processors; yields what broke."""
    pieces = [seeds[at : at + SEEDS_A_PIECE] for at in range(0, len(seeds), SEEDS_A_PIECE)]
    count = min(processes or os.cpu_count() or 1, len(pieces))
    if count <= 1:
        yield from (found for piece in pieces for found in try_seeds(piece))
        return
    context = multiprocessing.get_context("forkserver")
    # Unlike `multiprocessing.Pool` it raises when one of its processes dies.
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        for founds in pool.map(try_seeds, pieces):
            yield from founds


def replay(seed: int, words: Iterable[str] = ()) -> tuple[Story, str]:
    """Runs one seed with every check at every step; returns its story, and what broke."""
    world = World(seed, told=True, every=1)
    try:
        world.run()
    except Exception as error:
        world.story.tell(world.events.now, "law", "BROKEN", f"{type(error).__name__}: {error}")
        return world.story, traceback.format_exc()
    return world.story, ""


def main(arguments: Sequence[str]) -> int:
    """Hunts or replays, as the command line has it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="simulator", description=__doc__)
    parser.add_argument("seed", nargs="?", type=int, help="replay this seed and tell its story")
    parser.add_argument("--about", nargs="*", default=(), help="only lines with these words")
    parser.add_argument("--seeds", type=int, default=1_000, help="how many seeds to hunt")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--processes", type=int, default=None)
    options = parser.parse_args(arguments)
    if options.seed is not None:
        story, broken = replay(options.seed)
        print("\n".join(story.about(*options.about) if options.about else story.lines))
        print(broken or f"seed {options.seed}: every law held")
        return 1 if broken else 0
    started = time.perf_counter()
    seeds = range(options.first, options.first + options.seeds)
    broken_seeds = 0
    for found in hunt(seeds, options.processes):
        broken_seeds += 1
        print(f"seed {found.seed}: {found.error}\n  its story: make sim SEED={found.seed}")
    took_s = time.perf_counter() - started
    print(f"{options.seeds} seeds in {took_s:.1f} s, {broken_seeds} broke a law")
    return 1 if broken_seeds else 0
