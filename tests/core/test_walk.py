"""Whatever happens, in whatever order, no law breaks; and in the end everything ends."""

from __future__ import annotations

import pytest
from walk import Walk

SEEDS = 120
SEEDS_A_TEST = 20
STEPS = 150


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_A_TEST))
def test_no_law_breaks_on_any_walk(first: int) -> None:
    for seed in range(first, first + SEEDS_A_TEST):
        walk = Walk(seed)
        try:
            walk.run(STEPS)
            walk.finish()
        except Exception as error:
            error.add_note(f"seed {seed}: see it again with Walk({seed}).run({STEPS})")
            raise
