"""A worker with a planted bug: it runs each attempt outside of the trace that it came with."""

from __future__ import annotations

import typer

from pullwork.telemetry.spans import Spans
from pullwork_worker.main import command


def main() -> None:
    """Plants the bug, and works."""
    real = Spans._begin

    def begin(self: Spans, *given: object) -> object:
        operation, part, kind, _, *rest = given
        return real(self, operation, part, kind, {}, *rest)  # type: ignore[arg-type]

    Spans._begin = begin  # type: ignore[method-assign, assignment]
    typer.run(command)


if __name__ == "__main__":
    main()
