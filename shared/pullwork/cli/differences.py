"""What is different between two documents of a service, in lines for people."""

from __future__ import annotations

from collections.abc import Mapping

from pullwork.cli.service_document import Document


def flat(document: Document, where: str = "") -> dict[str, str]:
    """Returns each text of a document by its path; a list is one text."""
    if isinstance(document, Mapping):
        found: dict[str, str] = {}
        for key, value in document.items():
            found |= flat(value, f"{where}.{key}" if where else str(key))
        return found
    if isinstance(document, list):
        return {where: f"[{', '.join(map(str, document))}]"}
    return {where: str(document)}


def differences(before: Document, after: Document) -> list[str]:
    """Returns a line for each path that is not the same: `+` new, `-` gone, `~` changed."""
    old, new = flat(before), flat(after)
    lines = []
    for path in dict.fromkeys([*new, *old]):
        if path not in old:
            lines.append(f"+ {path}: {new[path]}")
        elif path not in new:
            lines.append(f"- {path}: {old[path]}")
        elif old[path] != new[path]:
            lines.append(f"~ {path}: {old[path]} → {new[path]}")
    return lines
