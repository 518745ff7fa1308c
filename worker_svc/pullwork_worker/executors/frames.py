"""Frames between a worker and its children: a length, then a marshalled tuple.

Both ends are the same program on the same machine, so marshal's format is no concern, and
unlike pickle it runs nothing when it is read.
"""

from __future__ import annotations

import marshal
import struct
from typing import Any, Final

_LENGTH: Final = struct.Struct("!I")

# To a child: at first its setup; then attempts, any number in a frame, each (seq, *Work).

# From a child: the first element of each frame.
READY: Final = 0  # (READY,)
BOOT_FAILED: Final = 1  # (BOOT_FAILED, error's name, message, details)
SUCCESS: Final = 2  # (SUCCESS, seq, run_s, data, content_type)
FAILURE: Final = 3  # (FAILURE, seq, run_s, blame, type, message, details, retryable)
NOTE: Final = 4  # (NOTE, seq, fraction, message, checkpoint)

# On the control socket, to a child: one letter and a sequence number each.
CONTROL: Final = struct.Struct("!cQ")
CANCEL: Final = b"C"
REVOKE: Final = b"R"

# A claim: the right to begin the next frame. FRESH says that control has something new.
CLAIM: Final = b"\x00"
CLAIM_FRESH: Final = b"\x01"


def pack(values: tuple[Any, ...]) -> bytes:
    """Returns a frame."""
    body = marshal.dumps(values)
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Cuts what arrives into frames."""

    def __init__(self) -> None:
        # The beginning of a frame, and how many bytes it takes until there is something to cut.
        self._rest = bytearray()
        self._wanted = 0

    def feed(self, data: bytes) -> list[tuple[Any, ...]]:
        """Takes bytes in, and returns the frames that are complete now."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._wanted:
                return []
            data = bytes(self._rest)
            self._rest.clear()
        found = []
        start, size = 0, len(data)
        self._wanted = _LENGTH.size
        while size - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(data, start)
            body = start + _LENGTH.size
            end = body + length
            if end > size:
                self._wanted = end - start
                break
            found.append(marshal.loads(data[body:end]))
            start = end
        self._rest += data[start:]
        return found
