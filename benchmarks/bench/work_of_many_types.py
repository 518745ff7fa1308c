"""A hundred types for one worker; `--tasks` takes what stands in a module by name."""

from __future__ import annotations

from bench.work import MANY

globals().update({f"kind_{number}": it for number, it in enumerate(MANY)})
