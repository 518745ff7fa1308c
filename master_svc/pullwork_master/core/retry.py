"""When a failed attempt is followed by another."""

from __future__ import annotations

import zlib

from pullwork_master.core.model import Retry

JITTER_SHARE = 0.1


def backoff_ms(retry: Retry, failures: int, seq: int) -> int:
    """Returns the wait after the given number of failures (from 1), in milliseconds.

    initial × multiplier^(failures-1), at most max, less up to a tenth. The share is drawn
    from the task's key, so that tasks that failed together do not come back together, and
    a replay waits exactly as long.
    """
    # The exponent is bounded before the power is taken: floats overflow beyond 1e308.
    wait = float(retry.initial_ms)
    for _ in range(failures - 1):
        wait *= retry.multiplier
        if wait >= retry.max_ms:
            break
    wait = min(wait, float(retry.max_ms))
    share = zlib.crc32(f"{seq}.{failures}".encode()) / 0xFFFFFFFF
    return int(wait * (1 - JITTER_SHARE * share))
