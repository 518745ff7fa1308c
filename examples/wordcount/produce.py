"""Submits one task for each file of a folder, and prints the most frequent words.

pullwork master                                 # in one terminal
pullwork worker --tasks wordcount_tasks         # in others, in this folder
python produce.py DIR
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from wordcount_tasks import count_words

from pullwork import Client


async def count(client: Client, paths: Iterable[Path]) -> Counter[str]:
    """Counts the words of all files together, on whatever workers there are."""
    total: Counter[str] = Counter()
    names = (str(path.resolve()) for path in paths)
    async for ended in client.map(count_words, names):
        total.update(ended.result())
    return total


async def main(paths: list[Path]) -> None:
    """Prints the most frequent words of all files."""
    async with Client() as client:
        total = await count(client, paths)
    for word, times in total.most_common(20):
        print(f"{times:8} {word}")


if __name__ == "__main__":
    asyncio.run(main(sorted(Path(sys.argv[1]).rglob("*.txt"))))
