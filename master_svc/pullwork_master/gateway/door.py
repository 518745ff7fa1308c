"""Whether there is a door over HTTP: what it is made of is loaded only if there is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pullwork_master.wire.calls import Calls

if TYPE_CHECKING:
    from pullwork_master.gateway.discovery.catalogue import Catalogue
    from pullwork_master.gateway.listener import Listener


class Door:
    """A master's HTTP face, or none. `bind`, then `start`; `stop`, and `close` in any case."""

    def __init__(self, listen: str | None) -> None:
        self._listen = listen
        self._listener: Listener | None = None
        # host:port, once bound; empty: there is no door.
        self.address = ""

    def bind(self) -> None:
        """Takes the port. Errors: ListenError."""
        if self._listen is None:
            return
        from pullwork_master.gateway.listener import Listener

        listener = Listener()
        self.address = f"{self._listen.rpartition(':')[0]}:{listener.bind(self._listen)}"
        self._listener = listener

    def start(
        self,
        calls: Calls,
        addresses: Iterable[str | None],
        names: Iterable[str],
        catalogue: Catalogue | None = None,
    ) -> None:
        """Serves the calls of a server that has started; `addresses` and `names` are its own.

        With a catalogue, what it finds is told in the formats of others, too.
        """
        if self._listener is not None:
            hosts = {each.rpartition(":")[0] for each in (*addresses, self._listen) if each}
            self._listener.start(calls, hosts | set(names), catalogue, self.address)

    async def stop(self, grace_s: float) -> None:
        """Takes no more requests, and lets those under way end for a while."""
        if self._listener is not None:
            await self._listener.stop(grace_s)

    def close(self) -> None:
        """Gives the port back, whatever came between."""
        if self._listener is not None:
            self._listener.close()
