"""Asks whether an instance is well, and judges the answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from pullwork_worker.services.order import Check, Way
from pullwork_worker.services.runner import Program, StartError

# A status line is not longer.
_STATUS_BYTES_MAX: Final = 1024
_CODE: Final = re.compile(r"[0-9]{3}")
# What stands before a program that does not listen (an engine's proxy, say) takes a connection,
# and closes it as soon as it finds nobody behind it.
_CLOSED_WITHIN_S: Final = 0.1


class Health(Enum):
    """What is thought of an instance."""

    STARTING = "starting"
    WELL = "well"
    UNWELL = "unwell"
    # It was unwell for too long: it is to be started again.
    HOPELESS = "hopeless"


@dataclass(slots=True)
class Judge:
    """Makes one opinion of many answers. Times are seconds of the caller's clock."""

    check: Check
    started_at: float
    health: Health = Health.STARTING
    failures: int = 0
    unwell_since: float = 0.0

    def saw(self, well: bool, now: float) -> Health:
        """Takes an answer in."""
        if well:
            self.health, self.failures = Health.WELL, 0
        elif self.health is not Health.STARTING or self._had_its_time(now):
            self.failures += 1
            if self.failures >= self.check.failures and self.health is not Health.UNWELL:
                self.health, self.unwell_since = Health.UNWELL, now
        return self.at(now)

    def at(self, now: float) -> Health:
        """Returns what is thought at a time."""
        since = now - self.unwell_since
        if self.health is Health.UNWELL and since >= self.check.restart_after_s:
            return Health.HOPELESS
        return self.health

    def _had_its_time(self, now: float) -> bool:
        return now >= self.started_at + self.check.start_period_s


async def ask(program: Program, check: Check) -> str:
    """Asks once; returns why it is not well, in a few words, or nothing. Raises AwayError."""
    try:
        async with asyncio.timeout(check.timeout_s):
            if check.way is Way.COMMAND:
                return await _ask_command(program, check)
            host, port = program.asked_at(check.port)
            if check.way is Way.TCP:
                return await _ask_tcp(host, port)
            return await _ask_http(host, port, check.path)
    except TimeoutError:
        return f"no answer within {check.timeout_s:g} s"
    except OSError as error:
        # Not its own words: they name an address that means nothing to whoever reads them.
        return os.strerror(error.errno).lower() if error.errno else str(error)
    except StartError as error:
        return str(error)


async def _ask_command(program: Program, check: Check) -> str:
    code = await program.run(check.command)
    return f"its check ended with {code}" if code else ""


async def _ask_tcp(host: str, port: int) -> str:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        async with asyncio.timeout(_CLOSED_WITHIN_S):
            return "" if await reader.read(1) else f"port {port} closes connections at once"
    except TimeoutError:
        return ""
    finally:
        await _close(writer)


async def _ask_http(host: str, port: int, path: str) -> str:
    reader, writer = await asyncio.open_connection(host, port, limit=_STATUS_BYTES_MAX)
    try:
        path = path if path.startswith("/") else f"/{path}"
        head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: pullwork\r\n"
        writer.write(f"{head}Accept: */*\r\nConnection: close\r\n\r\n".encode())
        try:
            line = await reader.readline()
        except ValueError:
            return "its answer is no HTTP"
        words = line.decode(errors="replace").split()
        if len(words) < 2 or not words[0].startswith("HTTP/") or not _CODE.fullmatch(words[1]):
            return "its answer is no HTTP" if line else "it closes connections without an answer"
        return "" if 200 <= int(words[1]) <= 399 else f"it answers with {words[1]}"
    finally:
        await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
