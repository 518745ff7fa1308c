"""One instance's container."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

from aiodocker import DockerError
from aiodocker.containers import DockerContainer

from pullwork_worker.services.engine import (
    NOT_FOUND,
    Engine,
    EngineTrouble,
    is_away,
    time_ms,
    words,
)
from pullwork_worker.services.order import Order
from pullwork_worker.services.runner import (
    EXITED,
    LOG_LINES,
    START_FAILED,
    Address,
    AwayError,
    Ending,
    Line,
    StartError,
    UnreadableError,
    exit_message,
    tail_of,
)

# The engine answers nothing in between, so a wait for its next sign of life is bounded.
_AGAIN_S: Final = 1.0
# Who follows a log reads no further ahead.
_LINES_AHEAD: Final = 100
_ANY_ADDRESS: Final = ("", "0.0.0.0", "::")


class ContainerProgram:
    """A container that was started; see `Program`. Its runner tells it to look at itself."""

    def __init__(
        self, order: Order, container: DockerContainer, engine: Engine, advertise_host: str
    ) -> None:
        self.order = order
        self.container = container
        self.addresses: tuple[Address, ...] = ()
        self.started_ms = 0
        self._engine = engine
        self._advertise_host = advertise_host
        self._asked_at: dict[str, tuple[str, int]] = {}
        self._over: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    async def look(self) -> None:
        """Asks the engine how it is. Raises what the engine raises when that is away."""
        try:
            seen = await self.container.show()
        except DockerError as error:
            if error.status != NOT_FOUND:
                raise
            return self.vanished()
        self.started_ms = time_ms(seen["State"].get("StartedAt"))
        self._take_ports(seen["NetworkSettings"])
        if seen["State"].get("Status") in ("exited", "dead"):
            log = await self._last_lines()
            self._end(_ending(seen["State"], seen["HostConfig"], log))
        return None

    def vanished(self) -> None:
        """Takes note that somebody else removed it."""
        ending = Ending(EXITED, "its container vanished", started_ms=self.started_ms)
        self._end(ending)

    def _end(self, ending: Ending) -> None:
        if not self._over.done():
            self._over.set_result(ending)

    async def _last_lines(self) -> str:
        try:
            said = await self.container.log(stdout=True, stderr=True, tail=LOG_LINES)
        except DockerError as error:
            if is_away(error):
                raise
            return ""
        return tail_of("".join(said).splitlines())

    def _take_ports(self, network: Mapping[str, Any]) -> None:
        nets = (network.get("Networks") or {}).values()
        own = next((it["IPAddress"] for it in nets if it.get("IPAddress")), "")
        found, asked = [], {}
        published = {name: list(it or ()) for name, it in (network.get("Ports") or {}).items()}
        for port in self.order.ports:
            bindings = published.get(f"{port.port}/tcp")
            if not bindings:
                continue
            binding = bindings.pop(0) if len(bindings) > 1 else bindings[0]
            host = binding.get("HostIp", "")
            number = int(binding["HostPort"])
            found.append(Address(port.name, self._advertise_host, number))
            # What publishes a port may take connections though nobody listens behind it.
            near = own and self._engine.shares_network
            loopback = "127.0.0.1" if host in _ANY_ADDRESS else host
            asked[port.name] = (own, port.port) if near else (loopback, number)
        if found:
            self.addresses = tuple(found)
            self._asked_at = asked

    async def ended(self) -> Ending:
        """Waits for its end."""
        return await asyncio.shield(self._over)

    async def stop(self) -> None:
        """Has the engine stop it; again, if that was away meanwhile."""
        grace_s = math.ceil(self.order.stop_grace_s)
        while not self._over.done():
            try:
                await self.container.stop(t=grace_s)
                await self.look()
            except EngineTrouble as error:
                if isinstance(error, DockerError) and error.status == NOT_FOUND:
                    self.vanished()
            if not self._over.done():
                await asyncio.wait({self._over}, timeout=_AGAIN_S)

    async def run(self, command: Sequence[str]) -> int:
        """Runs a command inside."""
        try:
            check = await self.container.exec(list(command))
            async with check.start(detach=False) as stream:
                while await stream.read_out() is not None:
                    pass
            seen = await check.inspect()
        except EngineTrouble as error:
            if is_away(error):
                raise AwayError(words(error)) from error
            raise StartError(START_FAILED, words(error)) from error
        code = seen.get("ExitCode")
        return -1 if code is None else int(code)

    def asked_at(self, port: str) -> tuple[str, int]:
        """Returns where it listens."""
        name = port or next(iter(self._asked_at), "")
        if name not in self._asked_at:
            raise StartError(START_FAILED, "its port is not published yet")
        return self._asked_at[name]

    async def lines(self, tail: int, *, follow: bool) -> AsyncIterator[Line]:
        """Yields the lines that the engine keeps, and those that come."""
        try:
            last = ""
            for line, stamp in await self._kept(tail):
                last = max(last, stamp)
                yield line
            if follow:
                async with aclosing(self._coming(last)) as coming:
                    async for line in coming:
                        yield line
        except EngineTrouble as error:
            raise UnreadableError(f"the engine does not give its log: {words(error)}") from error

    async def _kept(self, tail: int) -> list[tuple[Line, str]]:
        found = []
        for stderr in (False, True):
            said = await self.container.log(
                stdout=not stderr, stderr=stderr, timestamps=True, tail=tail
            )
            found += [_read(it, stderr) for frame in said for it in _pieces(frame)]
        # The stamps of the two streams are of one clock, to the nanosecond.
        found.sort(key=lambda it: it[1])
        return found[-tail:] if tail else []

    async def _coming(self, since: str) -> AsyncGenerator[Line, None]:
        queue: asyncio.Queue[Line | None] = asyncio.Queue(_LINES_AHEAD)
        begin_s = f"{max(0, time_ms(since) // 1000 - 1)}" if since else "0"

        async def follow(stderr: bool) -> None:
            async for frame in self.container.log(
                stdout=not stderr, stderr=stderr, timestamps=True, follow=True, since=begin_s
            ):
                for it in _pieces(frame):
                    line, stamp = _read(it, stderr)
                    if stamp > since:
                        await queue.put(line)

        async def both() -> None:
            await asyncio.gather(follow(False), follow(True), return_exceptions=True)
            await queue.put(None)

        reader = asyncio.create_task(both(), name="container log")
        try:
            while (line := await queue.get()) is not None:
                yield line
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


def _pieces(frame: str) -> list[str]:
    """Returns the lines of what the engine sent at once.

    A long line comes in several frames, each with its time in front and without an end: nothing is
    put together, or there would be times within lines, and lines without an end in memory.
    """
    return frame.removesuffix("\n").split("\n") if frame else []


def _read(text: str, stderr: bool) -> tuple[Line, str]:
    """Reads a line as the engine gives it, with its time in front."""
    stamp, _, rest = text.partition(" ")
    try:
        return Line(time_ms(stamp), stderr, rest), stamp
    except ValueError:
        return Line(0, stderr, text), ""


def _ending(state: Mapping[str, Any], host: Mapping[str, Any], log: str) -> Ending:
    code = int(state.get("ExitCode", 0))
    message = exit_message(code)
    if state.get("OOMKilled"):
        message += f": it took more than its {host.get('Memory', 0) / (1 << 20):g} MiB of memory"
    elif state.get("Error"):
        message += f": {' '.join(str(state['Error']).split())}"
    started_ms, ended_ms = time_ms(state.get("StartedAt")), time_ms(state.get("FinishedAt"))
    return Ending(EXITED, message, code, started_ms, ended_ms, log)
