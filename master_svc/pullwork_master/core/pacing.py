"""How often workers speak: the interval that each is told, by the size of the fleet.

The master takes heartbeats, and sends ticks, no faster than one every `beat_gap_ms` on the
average, however many workers there are: a larger fleet speaks less often.
"""

from __future__ import annotations

from pullwork_master.core.limits import Policy

# Multiples of it, less their whole part, fill the unit interval evenly, however many they are.
GOLDEN_RATIO = 0.6180339887498949


def first_ms(policy: Policy, workers: int, number: int) -> int:
    """Returns the interval of a newcomer, the `number`th that came, in a fleet of so many.

    It is shorter by some part, so that those who come at once do not beat at once for ever.
    """
    interval_ms = policy.interval_ms(workers)
    spread_ms = min(interval_ms // 2, workers * policy.beat_gap_ms)
    return interval_ms - int((number - 1) * GOLDEN_RATIO % 1.0 * spread_ms)


def next_ms(policy: Policy, workers: int, last_ms: int) -> int:
    """Returns the interval to tell a session that was told `last_ms` before.

    The answer that tells it may be lost. So a step doubles or halves it at the most, and the
    longer of the last two bounds a worker's silence, the shorter one the master's: then whoever
    lives by an older one, since two answers were lost in a row, is still within three of those.
    """
    return min(max(policy.interval_ms(workers), last_ms // 2), 2 * last_ms)
