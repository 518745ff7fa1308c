"""What the environment asks for, by OpenTelemetry's own variables; a bad value is refused here.

OpenTelemetry itself passes over what it does not understand, and who misspelt a word would
wait for traces that never come.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from pullwork.errors import SettingsError
from pullwork.settings.names import near

DISABLED: Final = "OTEL_SDK_DISABLED"
ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES: Final = "OTEL_TRACES_EXPORTER"
METRICS: Final = "OTEL_METRICS_EXPORTER"
TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
METRICS_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
SAMPLER: Final = "OTEL_TRACES_SAMPLER"
SAMPLER_ARG: Final = "OTEL_TRACES_SAMPLER_ARG"
PROMETHEUS_HOST: Final = "OTEL_EXPORTER_PROMETHEUS_HOST"
PROMETHEUS_PORT: Final = "OTEL_EXPORTER_PROMETHEUS_PORT"

_EXPORTERS: Final = {
    TRACES: ("otlp", "console", "none"),
    METRICS: ("otlp", "console", "prometheus", "none"),
}
_SAMPLERS: Final = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
_PROTOCOLS: Final = tuple(f"OTEL_EXPORTER_OTLP_{it}PROTOCOL" for it in ("", "TRACES_", "METRICS_"))
_NUMBERS: Final = (
    "OTEL_METRIC_EXPORT_INTERVAL",
    "OTEL_METRIC_EXPORT_TIMEOUT",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_BSP_EXPORT_TIMEOUT",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """Which exporters are asked for, and by which variable; `prometheus` is where to listen.

    `forbidden`: nothing is to be started, whoever else asks.
    """

    traces: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    prometheus: str = ""
    because: str = ""
    forbidden: bool = False

    def __bool__(self) -> bool:
        return bool(self.traces or self.metrics or self.prometheus)


NOTHING: Final = Wishes()


def read_wishes(environ: Mapping[str, str] | None = None) -> Wishes:
    """Returns what is asked for: nothing, unless an exporter or an endpoint is named.

    Raises SettingsError, one line a fault, naming the variable and what it may be; other
    variables alone ask for nothing, and are not judged.
    """
    environ = os.environ if environ is None else environ
    given = {key: value.strip() for key, value in environ.items() if key.startswith("OTEL_")}
    given = {key: value for key, value in given.items() if value}
    # What says how to export, but not that, is often everywhere, and meant for other programs.
    if not any(variable in given for variable in _ASKING):
        return NOTHING
    # Before all else: who turns it off may leave what was meant for another program.
    if given.get(DISABLED, "").lower() == "true":
        return Wishes(forbidden=True)
    faults = list(_faults(given))
    if faults:
        raise SettingsError("\n".join(faults))
    traces = _exporters(given, TRACES, TRACES_ENDPOINT)
    metrics = _exporters(given, METRICS, METRICS_ENDPOINT)
    because = next((it for it in (TRACES, METRICS, *_ENDPOINTS) if it in given), "")
    prometheus = ""
    if "prometheus" in metrics:
        host = given.get(PROMETHEUS_HOST, "localhost")
        prometheus = f"{host}:{given.get(PROMETHEUS_PORT, '9464')}"
        metrics = tuple(it for it in metrics if it != "prometheus")
    return Wishes(traces, metrics, prometheus, because)


_ENDPOINTS: Final = (ENDPOINT, TRACES_ENDPOINT, METRICS_ENDPOINT)
_ASKING: Final = (DISABLED, TRACES, METRICS, *_ENDPOINTS)


def _exporters(given: Mapping[str, str], variable: str, endpoint: str) -> tuple[str, ...]:
    """Returns the exporters of one signal; an endpoint alone asks for OTLP."""
    if variable in given:
        return tuple(it for it in _words(given[variable]) if it != "none")
    return ("otlp",) if endpoint in given or ENDPOINT in given else ()


def _faults(given: Mapping[str, str]) -> Iterator[str]:
    if given.get(DISABLED, "true").lower() not in ("true", "false"):
        yield _fault(DISABLED, given, "true or false")
    for variable, known in _EXPORTERS.items():
        for word in _words(given.get(variable, "")):
            if word not in known:
                hint = near(word, list(known))
                yield _fault(variable, given, f"a list of {', '.join(known)}{hint}")
    for variable in _ENDPOINTS:
        if variable in given and not _is_url(given[variable]):
            yield _fault(variable, given, "a URL such as http://127.0.0.1:4317")
    for variable in _PROTOCOLS:
        if given.get(variable, "grpc") != "grpc":
            yield _fault(variable, given, "grpc, for which collectors listen on port 4317")
    yield from _sampler_faults(given)
    for variable in _NUMBERS:
        if variable in given and not _number(given[variable]) > 0:
            yield _fault(variable, given, "a number above 0")
    port = _number(given.get(PROMETHEUS_PORT, "9464"))
    if not (port.is_integer() and 0 <= port <= 65535):
        yield _fault(PROMETHEUS_PORT, given, "a port, 0 to 65535")


def _sampler_faults(given: Mapping[str, str]) -> Iterator[str]:
    sampler = given.get(SAMPLER, "always_on").lower()
    if sampler not in _SAMPLERS:
        hint = near(sampler, list(_SAMPLERS))
        yield _fault(SAMPLER, given, f"one of {', '.join(_SAMPLERS)}{hint}")
    share = _number(given.get(SAMPLER_ARG, "1"))
    if sampler.endswith("traceidratio") and not 0 <= share <= 1:
        yield _fault(SAMPLER_ARG, given, "the share of traces to keep, 0 to 1")


def _fault(variable: str, given: Mapping[str, str], allowed: str) -> str:
    return f"{variable} can't be {given[variable]!r}: allowed is {allowed}"


def _words(text: str) -> Iterable[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # a port that is none
        return False


def _number(text: str) -> float:
    """Reads a number; one that is none compares with nothing."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
