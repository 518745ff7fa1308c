"""Traces and metrics by OpenTelemetry, on by its own `OTEL_` variables and off by default.

Nothing here imports OpenTelemetry until somebody asks for it: it is an optional part of the
installation, and takes a quarter of a second to load.
"""

from pullwork.telemetry.start import Telemetry, start
from pullwork.telemetry.wishes import Wishes, read_wishes

__all__ = ["Telemetry", "Wishes", "read_wishes", "start"]
