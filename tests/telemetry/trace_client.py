"""A client's program, as one who wants traces writes it: `python -m trace_client TYPE JSON`."""

from __future__ import annotations

import sys

from opentelemetry import trace

from pullwork import Retry, telemetry
from pullwork.blocking import Client


def main() -> None:
    """Submits one task within a span of its own, and waits for its end."""
    kind, payload = sys.argv[1:]
    with (
        telemetry.start("shop"),
        Client() as client,
        trace.get_tracer("shop").start_as_current_span("order"),
    ):
        again = Retry(max_attempts=3, initial_backoff=0.01)
        handle = client.submit_raw(kind, payload.encode(), "application/json", retry=again)
        print(handle.id, handle.wait(60).state)


if __name__ == "__main__":
    main()
