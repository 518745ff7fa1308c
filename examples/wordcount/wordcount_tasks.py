"""Counts words, one task a file."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from pullwork import Retry, task

WORD = re.compile(r"[A-Za-z]+")


@task(type="wordcount.count", retry=Retry(max_attempts=3, initial_backoff=30), timeout=60)
def count_words(path: str) -> dict[str, int]:
    """Returns how often each word stands in a file."""
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    return dict(Counter(word.lower() for word in WORD.findall(text)))
