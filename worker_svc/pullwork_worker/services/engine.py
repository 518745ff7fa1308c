"""The container engine: how it is reached, and what its refusals mean."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import aiohttp
from aiodocker import Docker, DockerError

_DEFAULT_URL: Final = "unix:///var/run/docker.sock"
_UNIX: Final = "unix://"
# Of calls that answer at once; those that wait for something set their own.
_CALL_S: Final = 60.0
# As aiodocker says that there was no connection.
_NO_CONNECTION: Final = 900
NOT_FOUND: Final = 404
CONFLICT: Final = 409

_PORT_TAKEN: Final = re.compile(
    r":(\d+) failed: port is already allocated|:(\d+): bind: address already in use"
)

# What can be met when the engine goes away, or can't be reached.
EngineTrouble = (DockerError, aiohttp.ClientError, OSError, TimeoutError)


def engine_url(setting: str | None, environ: Mapping[str, str]) -> str:
    """Returns where the engine is: as set, as DOCKER_HOST says, or the usual socket."""
    return setting or environ.get("DOCKER_HOST") or _DEFAULT_URL


class Engine:
    """A connection to an engine, opened when first used."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._docker: Docker | None = None
        self._connector: aiohttp.BaseConnector | None = None

    @property
    def docker(self) -> Docker:
        """The client. Raises ValueError for an address that is none."""
        if self._docker is None:
            url = self.url
            if url.startswith(_UNIX):
                # No bound: logs that are followed must not keep out the rest.
                self._connector = aiohttp.UnixConnector(url.removeprefix(_UNIX), limit=0)
                url = f"{_UNIX}localhost"
            timeout = aiohttp.ClientTimeout(total=_CALL_S)
            self._docker = Docker(url, connector=self._connector, timeout=timeout)
        return self._docker

    @property
    def shares_network(self) -> bool:
        """Whether containers can be reached by their own addresses: on this machine's Linux."""
        return self.url.startswith(_UNIX) and os.path.exists("/proc/net/route")

    async def close(self) -> None:
        """Closes it; the next use opens another."""
        docker, self._docker = self._docker, None
        connector, self._connector = self._connector, None
        if docker is not None:
            await docker.close()
        if connector is not None:
            await connector.close()


def is_away(error: BaseException) -> bool:
    """Returns whether an error says that the engine can't be reached, not that it refuses."""
    return not isinstance(error, DockerError) or error.status == _NO_CONNECTION


def words(error: BaseException) -> str:
    """Returns what an error says, without what only its program understands."""
    text = error.message if isinstance(error, DockerError) else str(error)
    if taken := _PORT_TAKEN.search(text):
        return f"something on this node listens at port {taken[1] or taken[2]} already"
    return " ".join(text.split()).rstrip(".") or type(error).__name__


def time_ms(stamp: Any) -> int:
    """Reads the engine's time; 0: never."""
    text = str(stamp or "")
    if not text or text.startswith("0001"):
        return 0
    # Nanoseconds are more than Python reads.
    head, _, tail = text.partition(".")
    digits = tail.rstrip("Z")[:6] or "0"
    return int(datetime.fromisoformat(f"{head.rstrip('Z')}.{digits:0<6}+00:00").timestamp() * 1000)
