"""A hundred types more for one worker; `--tasks` takes what stands in a module by name."""

from __future__ import annotations

from bench.work import MANY, in_coroutine, in_process

__all__ = ["in_coroutine", "in_process"]

globals().update({f"kind_{number}": it for number, it in enumerate(MANY)})
