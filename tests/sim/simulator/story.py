"""What happened, line by line: nothing while seeds are hunted, everything when one is replayed."""

from __future__ import annotations

import hashlib
from typing import Any


class BrokenLawError(AssertionError):
    """What was promised did not hold."""

    def __init__(self, law: str, *facts: object) -> None:
        super().__init__(f"{law}: {', '.join(map(str, facts))}" if facts else law)
        self.law = law


def require(holds: bool, law: str, *facts: object) -> None:
    """Raises BrokenLawError, with the law's words, unless it holds."""
    if not holds:
        raise BrokenLawError(law, *facts)


class Story:
    """The log of one run; `told` says whether anybody wants to read it."""

    def __init__(self, told: bool) -> None:
        self.told = told
        self.lines: list[str] = []

    def tell(self, now: int, who: str, what: str, *facts: Any) -> None:
        """Adds a line; call it only if `told`, so that a hunt does not pay for words."""
        words = " ".join(str(each) for each in facts)
        self.lines.append(f"{now / 1_000_000:11.6f}  {who:<8} {what:<18} {words}".rstrip())

    def digest(self) -> str:
        """Returns a hash of all lines, to compare two runs."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()

    def about(self, *words: str) -> list[str]:
        """Returns the lines that hold one of the words: a task's or a session's own story."""
        return [line for line in self.lines if any(word in line for word in words)]
