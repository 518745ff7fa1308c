"""Which names are settings at all: the check that turns a misspelt one into an error.

It looks at every section that is installed, so that a worker's variable is no stranger to
a master; sections are imported only when a name is met that the caller's own does not explain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from pullwork.settings.section import PREFIX, Section

GROUP: Final = "pullwork.settings"
CONFIG_VARIABLE: Final = "PULLWORK_CONFIG"
# The command line's own, and what an instance of a service is told of itself; no settings of a
# section.
_OTHER_VARIABLES: Final = frozenset(
    {CONFIG_VARIABLE, "PULLWORK_TRACEBACK", "PULLWORK_INSTANCE", "PULLWORK_SERVICE"}
)

# A Kubernetes Service or a linked container called `pullwork…` puts these into every
# environment beside it; they are not ours to refuse.
_ORCHESTRATOR: Final = re.compile(
    r"PULLWORK_(\w+_)?("
    r"SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?)"
)


class Known:
    """Every installed section: one loaded class for the caller's own, the rest on demand."""

    def __init__(
        self,
        own: type[Section] | None = None,
        find: Callable[[], Mapping[str, EntryPoint]] | None = None,
    ) -> None:
        self._find = find or installed
        self._loaded: dict[str, type[Section] | None] = {}
        self._entries: Mapping[str, EntryPoint] | None = None
        if own is not None:
            self._loaded[own.section] = own

    @property
    def entries(self) -> Mapping[str, EntryPoint]:
        """The sections by name, as the installed packages declare them."""
        if self._entries is None:
            self._entries = self._find()
        return self._entries

    def names(self) -> list[str]:
        """Returns the names of all sections, in alphabetical order."""
        return sorted({*self._loaded, *self.entries})

    def get(self, name: str) -> type[Section] | None:
        """Returns a section's class; None for one whose package does not import."""
        if name not in self._loaded:
            try:
                self._loaded[name] = self.entries[name].load()
            except Exception:  # a broken neighbour must not stop this program
                self._loaded[name] = None
        return self._loaded[name]

    def sections(self) -> list[type[Section]]:
        """Returns the classes of all sections that import."""
        found = (self.get(name) for name in self.names())
        return [section for section in found if section is not None]

    def unknown_variables(self, environ: Mapping[str, str]) -> list[str]:
        """Returns a sentence for each `PULLWORK_` variable that no section has."""
        given = sorted(name for name in environ if name.startswith(PREFIX))
        allowed = set(_OTHER_VARIABLES)
        for section in self._loaded.values():
            allowed.update(_variables(section))
        rest = [name for name in given if name not in allowed and not _foreign(name)]
        if not rest:
            return []
        for section in self.sections():
            allowed.update(_variables(section))
        broken = [f"{PREFIX}{name.upper()}_" for name in self.names() if self.get(name) is None]
        return [
            f"{name} is no variable of Pullwork{_near_variable(name, allowed)}; unset it, or see "
            f"`pullwork config` for all names"
            for name in rest
            if name not in allowed and not name.startswith(tuple(broken))
        ]

    def unknown_keys(self, tables: Mapping[str, object], source: str) -> list[str]:
        """Returns a sentence for each section and key of a file that does not exist."""
        faults = []
        for name, table in tables.items():
            if name not in self.names() and not isinstance(table, dict):
                faults.append(
                    f"{source}: {name!r} stands outside of all sections; write it below one of "
                    f"{', '.join(f'[{each}]' for each in self.names())}"
                )
            elif name not in self.names():
                faults.append(
                    f"{source}: there is no section [{name}]{near(name, self.names())}; "
                    f"the sections are {', '.join(self.names())}"
                )
            elif not isinstance(table, dict):
                faults.append(f"{source}: {name} is a section; write [{name}] and its keys below")
            elif (section := self.get(name)) is not None:
                keys = list(section.model_fields)
                faults.extend(
                    f"{source}: [{name}] has no key {key!r}{near(key, keys)}; "
                    f"remove it, or see `pullwork config` for all keys"
                    for key in table
                    if key not in keys
                )
        return faults


def installed() -> dict[str, EntryPoint]:
    """Returns the sections that installed packages declare, by name."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def near(name: str, candidates: Mapping[str, object] | set[str] | list[str]) -> str:
    """Returns ` (did you mean X?)`, or nothing when no candidate is like the name."""
    matches = get_close_matches(name, list(candidates), n=1, cutoff=0.6)
    return f" (did you mean {matches[0]}?)" if matches else ""


def _near_variable(name: str, candidates: set[str]) -> str:
    # Without what all of them begin with: it would make them all alike.
    found = near(name[len(PREFIX) :], {it[len(PREFIX) :] for it in candidates})
    return found.replace("mean ", f"mean {PREFIX}")


def _variables(section: type[Section] | None) -> set[str]:
    return {setting.variable for setting in section.settings()} if section is not None else set()


def _foreign(name: str) -> bool:
    return _ORCHESTRATOR.fullmatch(name) is not None
