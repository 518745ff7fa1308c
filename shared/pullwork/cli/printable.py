"""Makes text of unknown origin harmless for a terminal."""

from __future__ import annotations

import re
from typing import Final

# Everything that moves the cursor, colours or rings; tabs and line ends are harmless.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Returns text with its control characters written out, e.g. `\\x1b`.

    A task's error message must not be able to rewrite what an operator sees.
    """
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
