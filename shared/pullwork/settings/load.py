"""Puts a section together: flag over environment over file over default.

All faults are found before the first is told, and each says which setting, where its value
came from, and what is allowed.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar, get_origin

from pydantic import ValidationError

from pullwork.errors import SettingsError
from pullwork.settings.names import CONFIG_VARIABLE, Known
from pullwork.settings.section import Section, Setting, plain_type

S = TypeVar("S", bound=Section)

NO_FLAGS: Final[Mapping[str, object]] = MappingProxyType({})
DEFAULT_FILE: Final = Path("pullwork.toml")


@dataclass(frozen=True)
class Given:
    """A value before it is checked, and where it came from in words."""

    value: object
    origin: str


@dataclass(frozen=True)
class Resolved(Generic[S]):
    """A section together with where each of its values came from."""

    values: S
    origins: Mapping[str, str]


def load(
    section: type[S],
    flags: Mapping[str, object] = NO_FLAGS,
    config_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> S:
    """Returns the section's values; flags that are None count as not given.

    Raises SettingsError, one line a fault.
    """
    return resolve(section, flags, config_file, environ).values


def load_given(section: type[S], given: Mapping[str, object]) -> S:
    """Returns the section with what a program says in it, and reads nothing else.

    Raises SettingsError.
    """
    if unknown := sorted(given.keys() - set(_fields(section))):
        raise SettingsError(f"there is no setting {section.section}.{unknown[0]}")
    return load(section, given, Path(os.devnull), {})


def resolve(
    section: type[S],
    flags: Mapping[str, object] = NO_FLAGS,
    config_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Resolved[S]:
    """Does what `load` does, and keeps the origins."""
    environ = os.environ if environ is None else environ
    known = Known(section)
    faults = known.unknown_variables(environ)
    path = find_file(config_file, environ)
    tables: Mapping[str, object] = read_file(path) if path is not None else {}
    faults += known.unknown_keys(tables, str(path))
    given = _gather(section, flags, environ, tables, path)
    try:
        values = _validate(section, given)
    except SettingsError as error:
        faults.append(str(error))
    if faults:
        raise SettingsError("\n".join(faults))
    origins = {
        name: given[name].origin if name in given else "default" for name in _fields(section)
    }
    return Resolved(values, origins)


def check_file(path: Path) -> None:
    """Checks every section of a file, without the environment.

    Raises SettingsError, one line a fault.
    """
    known = Known()
    tables = read_file(path)
    faults = known.unknown_keys(tables, str(path))
    for section in known.sections():
        try:
            _validate(section, _gather(section, NO_FLAGS, {}, tables, path))
        except SettingsError as error:
            faults.append(str(error))
    if faults:
        raise SettingsError("\n".join(faults))


def find_file(config_file: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Returns the file to read: the one asked for, the variable's, or `./pullwork.toml`."""
    if config_file is not None:
        return config_file
    if environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def read_file(path: Path) -> dict[str, Any]:
    """Reads a settings file; raises SettingsError if it is not there or no TOML."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(
            f"the settings file {path} can't be read: {error.strerror}; "
            f"check --config and {CONFIG_VARIABLE}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the settings file {path} is not valid TOML: {error}; "
            f"see `pullwork config` for a template"
        ) from error


def _fields(section: type[Section]) -> list[str]:
    return list(section.model_fields)


def _gather(
    section: type[Section],
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    tables: Mapping[str, object],
    path: Path | None,
) -> dict[str, Given]:
    unknown = set(flags) - set(_fields(section))
    assert not unknown, f"flags without a setting in [{section.section}]: {sorted(unknown)}"
    table = tables.get(section.section)
    in_file = table if isinstance(table, dict) else {}
    given = {}
    for setting in section.settings():
        if flags.get(setting.name) is not None:
            given[setting.name] = Given(flags[setting.name], setting.flag)
        # An empty variable is how compose files spell "not set".
        elif environ.get(setting.variable):
            given[setting.name] = Given(environ[setting.variable], setting.variable)
        elif setting.name in in_file:
            given[setting.name] = Given(in_file[setting.name], f"{path}: {setting.path}")
    return given


def _validate(section: type[S], given: Mapping[str, Given]) -> S:
    settings = {setting.name: setting for setting in section.settings()}
    faults = []
    values = {}
    for name, item in given.items():
        try:
            values[name] = _shape(settings[name], item.value)
        except ValueError:
            faults.append(_fault(settings[name], item))
    try:
        result = section.model_validate(values)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False, include_input=False):
            if detail["loc"]:
                name = str(detail["loc"][0])
                default = Given(settings[name].field.default, "default")
                faults.append(_fault(settings[name], given.get(name, default)))
            else:
                reason = detail["msg"].removeprefix("Value error, ")
                faults.append(f"[{section.section}]: {reason}")
    if faults:
        raise SettingsError("\n".join(dict.fromkeys(faults)))
    return result


def _fault(setting: Setting, item: Given) -> str:
    return (
        f"{setting.path} can't be {str(item.value)!r} (from {item.origin}): "
        f"allowed is {setting.allowed}"
    )


def _shape(setting: Setting, value: object) -> object:
    """Turns text into what the type needs where pydantic can't: none, lists, tables."""
    base, optional = plain_type(setting.field.annotation)
    origin = get_origin(base) or base
    if isinstance(value, bool) and origin in (int, float):
        raise ValueError("true and false are no numbers")
    if not isinstance(value, str):
        return value
    if optional and value.strip().lower() == "none":
        return None
    if origin in (list, tuple, set, frozenset):
        return [part.strip() for part in value.split(",") if part.strip()]
    if origin in (dict, Mapping):
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if any(not equals or not key.strip() for key, equals, _ in pairs):
            raise ValueError("not name=value")
        return {key.strip(): item.strip() for key, _, item in pairs}
    return value
