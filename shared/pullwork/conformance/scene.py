"""A scene: what is brought about, and which rules it is for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pullwork.conformance.stage import Stage


@dataclass(frozen=True)
class Scene:
    """One start of the worker program, played in one way."""

    name: str
    # The rules that this scene alone, or best, can try.
    rules: tuple[str, ...]
    play: Callable[[Stage], Awaitable[None]]
