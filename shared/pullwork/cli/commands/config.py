"""`config`: the template of all settings, a check of a file, and what is in force."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pullwork.cli.options import AsJson, Config


def config(
    check: Annotated[
        Path | None, typer.Option("--check", metavar="FILE", help="Check a settings file.")
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Show what is in force, and where it comes from.")
    ] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Print the template of all settings: names, defaults and meaning, as a TOML file."""
    from pullwork.cli.documents import print_document
    from pullwork.settings import Known, check_file
    from pullwork.settings.template import template

    if check is not None:
        check_file(check)
        print(f"{check} is fine")
        return
    sections = Known().sections()
    if show:
        _show(sections, config, as_json)
    elif as_json:
        print_document([_describe(section) for section in sections])
    else:
        print(template(sections), end="")


def _show(sections: list[Any], config: Path | None, as_json: bool) -> None:
    from rich.markup import escape

    from pullwork.cli.documents import print_document
    from pullwork.cli.sheet import Column, Sheet
    from pullwork.settings import resolve
    from pullwork.settings.template import to_toml

    rows = []
    for section in sections:
        resolved = resolve(section, config_file=config)
        for setting in section.settings():
            value = getattr(resolved.values, setting.name)
            text = "none" if value is None else to_toml(setting, value)
            rows.append((setting.path, text, resolved.origins[setting.name]))
    if as_json:
        print_document([{"setting": s, "value": v, "from": o} for s, v, o in rows])
        return
    made = Sheet(Column("SETTING", whole=True), Column("VALUE", whole=True), Column("FROM"))
    for row in rows:
        made.add(*map(escape, row))
    made.print()


def _describe(section: Any) -> dict[str, Any]:
    from pullwork.settings.template import default_text

    return {
        "section": section.section,
        "settings": [
            {
                "name": setting.name,
                "variable": setting.variable,
                "default": default_text(setting),
                "allowed": setting.allowed,
                "meaning": setting.meaning,
            }
            for setting in section.settings()
        ],
    }
