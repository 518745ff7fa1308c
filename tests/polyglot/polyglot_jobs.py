"""What the Python workers of these tests can do: the same as those in Go and TypeScript."""

from __future__ import annotations

from pullwork import task
from pullwork.conformance.work import work

__all__ = ["count_words", "work"]


@task(type="words.count")
async def count_words(text: str) -> int:
    """Returns how many words a text has."""
    return len(text.split())
