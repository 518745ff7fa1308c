"""`version`: what is installed."""

from __future__ import annotations

import platform
from importlib.metadata import version as version_of

from pullwork.cli.options import AsJson


def version(as_json: AsJson = False) -> None:
    """Print the versions of Pullwork and of what it stands on."""
    from pullwork.cli.documents import print_document

    versions = {name: version_of(name) for name in ("pullwork", "grpcio", "protobuf")}
    versions["python"] = platform.python_version()
    if as_json:
        print_document(versions)
    else:
        print(" ".join(f"{name} {number}" for name, number in versions.items()))
