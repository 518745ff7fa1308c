"""A way to the engine that can be cut and mended: a socket that hands on what comes."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

ENGINE = "/var/run/docker.sock"


class EngineProxy:
    """A socket beside the engine's."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "engine.sock"
        self._server: asyncio.Server | None = None
        self._pairs: set[asyncio.Task[None]] = set()
        # Requests with these words get no further until `let_on`; whether one came.
        self.holds = b""
        self.held = asyncio.Event()
        self.let_on = asyncio.Event()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"unix://{self._path}"

    async def mend(self) -> None:
        """Lets everything through."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def cut(self) -> None:
        """Ends all connections, and takes no more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._path.unlink(missing_ok=True)
        # What was accepted a moment ago begins to be served in the next rounds of the loop.
        for _ in range(3):
            await asyncio.sleep(0)
            for pair in self._pairs:
                pair.cancel()
            await asyncio.gather(*self._pairs, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pairs.add(task)
        far_writer = writer
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(ENGINE)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump_requests(reader, far_writer))
                group.create_task(_pump(far_reader, writer))
        except* OSError:
            pass
        finally:
            for it in (writer, far_writer):
                it.close()
            self._pairs.discard(task)
            for it in (writer, far_writer):
                with contextlib.suppress(OSError):
                    await it.wait_closed()

    async def _pump_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65536):
            if self.holds and self.holds in data:
                self.held.set()
                await self.let_on.wait()
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
