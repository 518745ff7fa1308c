"""A cable between a client and a master that a test can cut and mend."""

from __future__ import annotations

import asyncio
import contextlib


class Cable:
    """Carries connections to a master while it is whole; cut, it breaks them and takes no more."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self._far = (host, int(port))
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._carriers: set[asyncio.Task[object] | None] = set()
        self._port = 0
        self._bytes_left: int | None = None
        self.broken = False

    @property
    def address(self) -> str:
        """The near end."""
        return f"127.0.0.1:{self._port}"

    async def mend(self) -> None:
        """Takes connections, the first time and again at the same address."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def break_once_after(self, size: int) -> None:
        """Has the connection break that brings the last of so many bytes from the master."""
        self._bytes_left = size

    async def cut(self) -> None:
        """Breaks every connection and refuses new ones."""
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()
        if carriers := {carrier for carrier in self._carriers if carrier is not None}:
            await asyncio.wait(carriers)

    async def _carry(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        carrier = asyncio.current_task()
        self._carriers.add(carrier)
        with contextlib.suppress(OSError):
            far, forth = await asyncio.open_connection(*self._far)
            self._writers |= {back, forth}
            try:
                await asyncio.gather(_copy(near, forth), self._bring(far, back))
            finally:
                for writer in (back, forth):
                    self._writers.discard(writer)
                    writer.transport.abort()
        self._carriers.discard(carrier)

    async def _bring(self, far: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        while data := await far.read(65536):
            if self._bytes_left is not None:
                self._bytes_left -= len(data)
                if self._bytes_left <= 0:
                    self._bytes_left, self.broken = None, True
                    raise ConnectionResetError("the cable broke")
            back.write(data)
            await back.drain()
        back.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
