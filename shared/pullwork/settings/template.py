"""The one template of all settings, as a TOML file that says what each key means."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Final

from pullwork.settings.quantity import Allowed
from pullwork.settings.section import DefaultText, Section, Setting, metadata_of

WIDTH: Final = 88

_HEAD: Final = """\
# Settings of Pullwork: one file for masters, workers and clients; each reads its section.
# A flag goes before a variable of the environment, that before this file, this before the
# default. Read from --config FILE, else $PULLWORK_CONFIG, else ./pullwork.toml if there.
# Every key is shown with its default; take the # away to set it.
# Durations are seconds, or numbers with ms, s, m, h, d: "30s". Sizes are bytes, or a number
# with kB, MB, GB, KiB, MiB, GiB: "64MiB". Check a file with: pullwork config --check FILE
"""


def template(sections: Iterable[type[Section]]) -> str:
    """Returns the template; without its `#` before keys it is a valid file of the defaults."""
    parts = [_HEAD]
    for section in sections:
        meaning = textwrap.wrap(_meaning(section), WIDTH - 2)
        parts.append("\n" + "".join(f"# {line}\n" for line in meaning) + f"[{section.section}]\n")
        parts.extend(_entry(setting) for setting in section.settings())
    return "".join(parts)


def default_text(setting: Setting) -> str:
    """Returns a default as TOML, or in words where it is computed or there is none."""
    for note in metadata_of(setting.field):
        if isinstance(note, DefaultText):
            return note.text
    default = setting.field.default
    if setting.field.default_factory is not None:
        default = setting.field.default_factory()  # type: ignore[call-arg]
    if default is None:
        return "none"
    return to_toml(setting, default)


def is_computed(setting: Setting) -> bool:
    """Tells whether each machine computes this default for itself."""
    return any(isinstance(note, DefaultText) for note in metadata_of(setting.field))


def to_toml(setting: Setting, value: object) -> str:
    """Returns a value in TOML, durations and sizes with their units."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        for note in metadata_of(setting.field):
            if isinstance(note, Allowed) and note.write is not str:
                return _text(note.write(value))
    return _plain(value)


def _entry(setting: Setting) -> str:
    names = f"{setting.variable}: {setting.allowed_briefly}."
    paragraphs = (setting.meaning, names)
    wrapped = (line for words in paragraphs for line in textwrap.wrap(words, WIDTH - 2))
    lines = [f"# {line}\n" for line in wrapped]
    if is_computed(setting) or setting.field.default is None:
        return "\n" + "".join(lines) + f"#{setting.name} =   # {default_text(setting)}\n"
    return "\n" + "".join(lines) + f"#{setting.name} = {default_text(setting)}\n"


def _meaning(section: type[Section]) -> str:
    return " ".join((section.__doc__ or "").split())


def _plain(value: object) -> str:
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ", ".join(_plain(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(str(k))} = {_plain(v)}" for k, v in value.items()) + "}"
    return _text(str(value)) if isinstance(value, str | Path) else _text(repr(value))


def _text(value: str) -> str:
    # JSON's strings are TOML's basic strings.
    return json.dumps(value, ensure_ascii=False)
