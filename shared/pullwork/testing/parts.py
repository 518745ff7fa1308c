"""What a cluster under test is made of, and how the installed services bring it.

`pullwork` imports no service: each declares its part under the entry-point group
`pullwork.testing`. A part lives on a loop of its own; but for `silence` and properties,
whatever is called here is called there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, cast

from pullwork.errors import PullworkError
from pullwork.tasks import Task
from pullwork.testing.clock import Clock

GROUP: Final = "pullwork.testing"


class ClusterError(PullworkError):
    """The cluster under test can't do what the test asks for."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a part shares with its cluster; `stirred` is called after whatever happened."""

    clock: Clock
    stirred: Callable[[], None]


@dataclass(frozen=True, slots=True)
class MasterOrder:
    """Which master is wanted; `data` None keeps its tasks in memory."""

    data: Path | None
    settings: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """Which worker is wanted."""

    name: str
    address: str
    tasks: Sequence[Task[..., Any]]
    modules: Sequence[str]
    def_in_threads: bool
    settings: Mapping[str, object]


class Contact(NamedTuple):
    """What the master knows of one session."""

    listening: bool
    parked: bool


class Rest(NamedTuple):
    """What a worker is like when it has nothing left to do at this moment."""

    session_id: str
    parked: bool
    stimuli: int


class MasterPart(Protocol):
    """A master that can be killed and started again on what it stored."""

    @property
    def address(self) -> str:
        """Where it listens, also after a restart."""

    @property
    def stride_s(self) -> float:
        """How far its clock may be moved at once without looking like a pause of the master."""

    async def start(self) -> None:
        """Serves."""

    async def look(self) -> Mapping[str, Contact]:
        """Does all that is due now, and returns its sessions."""

    async def under_way(self) -> str:
        """Returns what runs, or could run at once; nothing if only time or people can go on."""

    async def perish(self) -> None:
        """Ends as by SIGKILL."""


class WorkerPart(Protocol):
    """A worker, once."""

    @property
    def session_id(self) -> str:
        """Its session with the master; nothing while it has none."""

    @property
    def over(self) -> str:
        """Why it ended by itself; nothing while it did not."""

    async def start(self) -> None:
        """Begins, and returns once it can work, or is over."""

    async def rest(self, patience_s: float) -> Rest:
        """Waits until it has done what is due; functions get `patience_s` of real time."""

    async def runs(self, task_id: str) -> bool:
        """Tells whether an attempt of a task runs here."""

    def silence(self) -> None:
        """Lets it tell nobody anything from now on; may be called from any thread."""

    async def perish(self) -> None:
        """Ends as by SIGKILL."""

    async def leave(self) -> None:
        """Drains and leaves, as on SIGTERM."""


MakeMaster = Callable[[MasterOrder, Surroundings], MasterPart]
MakeWorker = Callable[[WorkerOrder, Surroundings], WorkerPart]


def find_master() -> MakeMaster:
    """Returns what makes masters; raises ClusterError if none is installed."""
    return cast(MakeMaster, _load("master"))


def find_worker() -> MakeWorker:
    """Returns what makes workers; raises ClusterError if none is installed."""
    return cast(MakeWorker, _load("worker"))


def _load(name: str) -> object:
    for entry in entry_points(group=GROUP, name=name):
        return entry.load()
    raise ClusterError(
        f"no {name} is installed that a cluster could be made of; install pullwork whole, with "
        f"the entry points of the group {GROUP}"
    )
