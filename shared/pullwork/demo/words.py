"""What is counted, and the plain count in one process that the cluster's is checked against."""

from __future__ import annotations

import io
import re
import sysconfig
import tokenize
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_WORD: Final = re.compile(r"[^\W\d_]+")


def count_file(path: Path) -> Counter[str]:
    """Counts the words in names, comments and strings of a Python file, in lower case.

    Operators and numbers have no words; a file that is no valid Python is counted as plain text.
    """
    text = path.read_text("utf-8", "replace")
    counts: Counter[str] = Counter()
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type != tokenize.NUMBER:
                counts.update(_WORD.findall(token.string.lower()))
    except (tokenize.TokenError, SyntaxError):
        return Counter(_WORD.findall(text.lower()))
    return counts


def count_plainly(paths: Iterable[Path]) -> Counter[str]:
    """Counts files one after the other."""
    total: Counter[str] = Counter()
    for path in paths:
        total.update(count_file(path))
    return total


def standard_library() -> Path:
    """Returns the folder of this Python's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def find_files(folder: Path) -> list[Path]:
    """Returns the `.py` files below a folder, without installed packages, in a fixed order."""
    return sorted(
        path
        for path in folder.rglob("*.py")
        if path.is_file() and not {"site-packages", "dist-packages"} & set(path.parts)
    )


def differences(found: Counter[str], plain: Counter[str]) -> list[str]:
    """Returns a sentence for each word whose two counts differ, the largest difference first."""
    wrong = {word for word in found.keys() | plain.keys() if found[word] != plain[word]}
    ordered = sorted(wrong, key=lambda word: (-abs(found[word] - plain[word]), word))
    return [f"{word}: {found[word]} by the cluster, {plain[word]} plainly" for word in ordered]
