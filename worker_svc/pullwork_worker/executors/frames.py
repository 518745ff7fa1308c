"""Frames between a worker and its children: a length, then a marshalled tuple.

Both ends are the same program on the same machine, so marshal's format is no concern, and
unlike pickle it runs nothing when it is read.
"""

from __future__ import annotations

import marshal
import struct
from collections.abc import Iterator
from typing import Any, Final

_LENGTH: Final = struct.Struct("!I")

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
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Any, ...]]:
        """Takes bytes in, and yields the frames that are complete."""
        buffer = self._buffer
        buffer += data
        start, size = 0, len(buffer)
        try:
            while size - start >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(buffer, start)
                end = start + _LENGTH.size + length
                if end > size:
                    break
                with memoryview(buffer) as view, view[start + _LENGTH.size : end] as body:
                    frame = marshal.loads(body)
                start = end
                yield frame
        finally:
            del buffer[:start]
