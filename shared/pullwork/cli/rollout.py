"""Follows a service until it is as it is wanted, and shows how far it is."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.live import Live

from pullwork.cli.group import say
from pullwork.cli.printable import printable
from pullwork.cli.service_tables import last_words, picture
from pullwork.cli.words import addresses_of, now_utc, why_of
from pullwork.service_info import InstanceInfo, InstanceState, RolloutState, ServiceInfo

if TYPE_CHECKING:
    from pullwork.client import Client

# So often an instance of a new service must have been started again to be told as a failure.
CRASHES: Final = 3
_ENDS_BADLY: Final = (RolloutState.RETURNED, RolloutState.PAUSED)


class End(enum.Enum):
    """How following a service ended."""

    SETTLED = enum.auto()
    FAILED = enum.auto()
    # Nothing of it was ever well, and an instance ends again and again.
    CRASHING = enum.auto()
    TIMED_OUT = enum.auto()
    # Nobody wanted to wait.
    UNSEEN = enum.auto()


@dataclass(frozen=True)
class Waiting:
    """How a command waits for what it changed: not at all, or so long, and told or not."""

    wait: bool
    patience_s: float | None
    quiet: bool


class Shown:
    """What people see of a service meanwhile: a table on a terminal, else a line each change.

    It stands on stderr, unless it is all that the command is for.
    """

    def __init__(self, *, quiet: bool, to_stdout: bool = False) -> None:
        self._console = Console(stderr=not to_stdout, highlight=False)
        self._quiet = quiet
        self._told: dict[str, str] = {}
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self.is_live = not quiet and self._console.is_terminal

    def __enter__(self) -> Shown:
        if self.is_live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.is_live:
            self._live.stop()

    def show(self, service: ServiceInfo | None, instances: Sequence[InstanceInfo]) -> None:
        """Shows what is new."""
        if self.is_live:
            self._live.update(picture(service, instances), refresh=True)
        elif not self._quiet:
            self._tell(service, instances)

    def _tell(self, service: ServiceInfo | None, instances: Sequence[InstanceInfo]) -> None:
        """Tells each change of an instance, and each new reason why some are missing, in a line."""
        now: dict[str, str] = {}
        for it in instances:
            if it.id:
                on = f" on {it.node}" if it.node else ""
                where = f" at {found}" if (found := addresses_of(it)) else ""
                why = f": {said}" if (said := why_of(it)) else ""
                now[it.id] = f"{it.id} {it.state}{on}{where}{why}"
        for name in self._told.keys() - now.keys():
            if not name.startswith("/"):
                now[name] = f"{name} is gone"
        for reason in service.pending if service is not None else ():
            now[f"/{reason}"] = f"{service.name if service else ''} waits: {reason}"
        moment = f"{now_utc().astimezone():%H:%M:%S}"
        for name, words in now.items():
            if self._told.get(name) != words:
                self._console.print(f"{moment} {printable(words)}", markup=False, soft_wrap=True)
        self._told = {name: it for name, it in now.items() if not it.endswith(" is gone")}


async def settle(client: Client, changed: ServiceInfo, waiting: Waiting) -> Following:
    """Follows a service that was changed just now, as far as is wanted."""
    with Shown(quiet=waiting.quiet or not waiting.wait) as shown:
        following = Following(client, changed, shown)
        if waiting.wait:
            await following.until_settled(waiting.patience_s)
    return following


def is_settled(service: ServiceInfo, instances: Sequence[InstanceInfo]) -> bool:
    """Tells whether both reports say so, since one may be ahead of the other, and those that
    were to stop are gone, but where nobody can tell."""
    there = [it for it in instances if not (it.state is InstanceState.STOPPING and it.disconnected)]
    well = all(it.state is InstanceState.HEALTHY for it in there)
    return service.settled and well and len(there) == service.spec.instances


class Following:
    """One service from a change until it is as it is wanted, or is given up."""

    def __init__(self, client: Client, changed: ServiceInfo, shown: Shown) -> None:
        self.service = changed
        self.end = End.UNSEEN
        self.instances: tuple[InstanceInfo, ...] = ()
        # How instances ended that may be gone by now.
        self._ended: dict[str, InstanceInfo] = {}
        self._client = client
        self._shown = shown
        # A failure of before is no failure of this change.
        self._before = changed.rollout

    async def until_settled(self, patience_s: float | None) -> None:
        """Shows what becomes of the service until it is as it is wanted, or is given up."""
        try:
            self.end = await self._end(patience_s)
        except asyncio.CancelledError:  # Ctrl-C
            name = self.service.name
            say(
                f"{name} goes on; `pullwork services watch {name}` shows how far it is, "
                f"`pullwork services delete {name}` ends it"
            )
            raise

    async def _end(self, patience_s: float | None) -> End:
        try:
            async with asyncio.timeout(patience_s), aclosing(self._changes()) as changes:
                async for _ in changes:
                    self._shown.show(self.service, self.instances)
                    rollout = self.service.rollout
                    if rollout.state in _ENDS_BADLY and rollout != self._before:
                        return End.FAILED
                    if is_settled(self.service, self.instances):
                        return End.SETTLED
                    if self._crashes():
                        return End.CRASHING
        except TimeoutError:
            return End.TIMED_OUT
        raise AssertionError("a report of a service has no end")

    def _crashes(self) -> bool:
        """Tells whether a new version ends as soon as it starts, and nobody else will say so: an
        update is given up by the master, but a service that never was well has nothing to go back
        to."""
        return self.service.rollout.state is RolloutState.ROLLING and any(
            it.version == self.service.version and it.restarts >= CRASHES for it in self.instances
        )

    async def _changes(self) -> AsyncGenerator[None]:
        """Yields each time something was heard of the service or of its instances."""
        heard = asyncio.Event()

        async def of_service() -> None:
            async for found in self._client.services.follow(self.service.name):
                self.service = found
                heard.set()

        async def of_instances() -> None:
            async for found in self._client.services.watch_instances(self.service.name):
                self.instances = found.instances
                self._ended |= {it.id: it for it in found.instances if it.last_exit is not None}
                heard.set()

        readers = [asyncio.create_task(of_service()), asyncio.create_task(of_instances())]
        waits = asyncio.create_task(heard.wait())
        try:
            while True:
                done, _ = await asyncio.wait([waits, *readers], return_when=asyncio.FIRST_COMPLETED)
                for reader in done.intersection(readers):
                    await reader
                heard.clear()
                yield
                waits = asyncio.create_task(heard.wait())
        finally:
            for task in (*readers, waits):
                task.cancel()
            await asyncio.gather(*readers, waits, return_exceptions=True)

    def told(self) -> str:
        """Returns how it ended, in a sentence."""
        service = self.service
        count = f"{service.healthy} of {service.spec.instances} instances healthy"
        match self.end:
            case End.SETTLED:
                return f"{service.name}: {count}"
            case End.FAILED:
                back = service.rollout.state is RolloutState.RETURNED
                now = "what was there before is back" if back else "it is left as it is"
                return f"the change of {service.name} failed, {now}: {count}"
            case End.CRASHING:
                return (
                    f"{service.name}: {count}; what was started ends again and again. It is tried "
                    f"on; `pullwork services delete {service.name}` ends it"
                )
            case End.TIMED_OUT:
                return f"{service.name}: {count} when the time was over; it goes on"
        return (
            f"{service.name}: {service.spec.instances} instances wanted; "
            f"`pullwork services watch {service.name}` shows how far it is"
        )

    def why(self) -> list[str]:
        """Returns why the service is not as it is wanted: reasons, and last words."""
        lines = [self.service.rollout.reason] if self.service.rollout.reason else []
        well = {it.id for it in self.instances if it.state is InstanceState.HEALTHY}
        ended = [it for id, it in self._ended.items() if id not in well]
        return [*lines, *self.service.pending, *last_words(ended)]
