"""A TCP proxy that loses bytes on purpose, in either direction, and cuts connections.

It knows nothing of what passes. For replies that get lost, and for cuts where this machine
gives no network namespaces.
"""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self


class Proxy:
    """Listens on loopback and passes on to `target`; use it as `async with`."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        # Whether bytes get lost on their way to the master, and from it.
        self.lose_requests = False
        self.lose_replies = False
        self.lost_bytes = 0
        # Cleared: everything is held back, and nothing lost.
        self.open = asyncio.Event()
        self.open.set()
        self.address = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        await self.cut()

    async def cut(self) -> None:
        """Breaks every connection that stands; the next one may stand at once."""
        for writer in self._writers:
            writer.transport.abort()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)
        self._writers.clear()
        self._pipes.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        for source, sink, is_request in ((reader, far_writer, True), (far_reader, writer, False)):
            pipe = asyncio.create_task(self._pipe(source, sink, is_request))
            self._pipes.add(pipe)

    async def _pipe(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, is_request: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if self.lose_requests if is_request else self.lose_replies:
                    self.lost_bytes += len(data)
                    continue
                await self.open.wait()
                sink.write(data)
                await sink.drain()
        # The other end hears of it.
        sink.transport.abort()
