"""What a child process prints: each line goes to the worker's log, the tail is kept as evidence."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import BinaryIO, Final, cast

TAIL_BYTES_MAX: Final = 8 * 1024
_LINE_BYTES_MAX: Final = 8 * 1024

log = logging.getLogger("pullwork.worker.task")


class Output(asyncio.Protocol):
    """Reads the pipe that a child has as stdout and stderr."""

    def __init__(self, slot: int) -> None:
        self.ended = asyncio.Event()
        self._slot = slot
        self._tail = bytearray()
        self._line = bytearray()
        self._transport: asyncio.ReadTransport | None = None

    async def open(self) -> BinaryIO:
        """Makes the pipe, and returns the end that the child is to write to."""
        read_fd, write_fd = os.pipe()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: self, os.fdopen(read_fd, "rb", 0))
        self._transport = transport
        return cast(BinaryIO, os.fdopen(write_fd, "wb", 0))

    def close(self) -> None:
        """Stops reading."""
        if self._transport is not None:
            self._transport.close()

    def tail(self) -> str:
        """Returns the last of what was printed."""
        return self._tail.decode(errors="replace")

    def data_received(self, data: bytes) -> None:
        """Takes in what was printed."""
        self._tail += data
        del self._tail[:-TAIL_BYTES_MAX]
        *lines, rest = (bytes(self._line) + data).split(b"\n")
        if len(rest) > _LINE_BYTES_MAX:
            lines.append(rest)
            rest = b""
        self._line[:] = rest
        for line in lines:
            self._log(line)

    def connection_lost(self, _: Exception | None) -> None:
        """Logs a last line that has no end."""
        if self._line:
            self._log(bytes(self._line))
            self._line.clear()
        self.ended.set()

    def _log(self, line: bytes) -> None:
        log.info("%s", line.decode(errors="replace").rstrip("\r"), extra={"slot": self._slot})
