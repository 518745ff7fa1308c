"""Starts OpenTelemetry in a process as the environment asks, and ends it without losing spans."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from importlib.metadata import version
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from pullwork.errors import SettingsError
from pullwork.telemetry.wishes import Wishes, read_wishes

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    from pullwork.telemetry.spans import Spans

log = logging.getLogger("pullwork.telemetry")

SCOPE: Final = "pullwork"
# What a collector gets to take the last of it.
CLOSE_S: Final = 3.0
REMEDY: Final = "pip install 'pullwork[telemetry]'"
NO_FACTS: Final[Mapping[str, str]] = MappingProxyType({})


class Telemetry:
    """What runs in this process: `spans` and `meter` are None where nobody asked for them.

    `listens` is where Prometheus may ask, with the real port; empty if nowhere.
    """

    def __init__(self) -> None:
        self.spans: Spans | None = None
        self.meter: Meter | None = None
        self.listens = ""
        self._ends: list[Any] = []

    @property
    def on(self) -> bool:
        """Whether anybody asked for anything."""
        return self.spans is not None or self.meter is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Sends what is not sent yet, and ends; waits some seconds for a collector, no longer.

        Not to be called on the thread of a loop that metrics are read from.
        """
        ends, self._ends = self._ends, []
        # Daemons: a collector that is away must not keep the program.
        threads = [threading.Thread(target=end, daemon=True) for end in ends]
        for thread in threads:
            thread.start()
        until_s = time.monotonic() + CLOSE_S
        for thread in threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            log.warning("the collector took too long: the last of the telemetry was not sent")

    def ends_with(self, end: Any) -> None:
        """Has something called at the close, beside what was there before."""
        self._ends.append(end)


def start(
    service: str,
    *,
    metrics: bool = False,
    prometheus: str | None = None,
    facts: Mapping[str, str] = NO_FACTS,
) -> Telemetry:
    """Starts what the `OTEL_` variables ask for, if they ask; use it as a context manager.

    `service` is the name unless OTEL_SERVICE_NAME says another. `metrics` says whether this program
    has any; `prometheus` is a host:port to answer at, beside what the variables say; `facts`
    describe the process. The traces are also OpenTelemetry's global ones, unless the program set
    its own. Raises SettingsError for bad values, and if the port can't be had.
    """
    wishes, telemetry = read_wishes(), Telemetry()
    if wishes.forbidden:
        if prometheus:
            log.warning("OTEL_SDK_DISABLED is true: nothing listens on %s", prometheus)
        return telemetry
    listen = (prometheus or wishes.prometheus) if metrics else ""
    if not (wishes.traces or listen or (metrics and wishes.metrics)):
        return telemetry
    try:
        import opentelemetry.exporter.otlp.proto.grpc
        import opentelemetry.exporter.prometheus
        import opentelemetry.sdk  # noqa: F401
    except ImportError as error:
        _refuse_or_warn(wishes, prometheus, error)
        return telemetry
    resource = _resource(service, facts)
    if wishes.traces:
        _start_traces(telemetry, wishes, resource)
    if metrics and (wishes.metrics or listen):
        _start_metrics(telemetry, wishes, resource, listen)
    log.info(
        "telemetry is on",
        extra={
            "traces": ",".join(wishes.traces) or "none",
            "metrics": ",".join(wishes.metrics) if metrics and wishes.metrics else "none",
            "prometheus": telemetry.listens or "none",
        },
    )
    return telemetry


def _refuse_or_warn(wishes: Wishes, prometheus: str | None, error: ImportError) -> None:
    """Refuses what our own setting asks for; a variable may be meant for other programs."""
    if prometheus:
        raise SettingsError(
            f"metrics_listen is {prometheus}, but what answers Prometheus is not installed "
            f"({error}): {REMEDY}, or unset it"
        ) from error
    log.warning(
        "%s asks for telemetry, but OpenTelemetry is not installed, so there is none: %s, or "
        "unset it",
        wishes.because,
        REMEDY,
    )


def _resource(service: str, facts: Mapping[str, str]) -> Resource:
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    said = OTELResourceDetector().detect().attributes
    ours: dict[str, str | int] = {
        "service.name": service,
        "service.version": version("pullwork"),
        "process.pid": os.getpid(),
        **facts,
    }
    return Resource.create({key: value for key, value in ours.items() if key not in said})


def _start_traces(telemetry: Telemetry, wishes: Wishes, resource: Resource) -> None:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import (
        BatchSpanProcessor,
        ConsoleSpanExporter,
        SimpleSpanProcessor,
    )

    from pullwork.telemetry.ids import ChosenIds
    from pullwork.telemetry.spans import Spans

    ids = ChosenIds()
    provider: TracerProvider = TracerProvider(
        resource=resource, id_generator=ids, shutdown_on_exit=False
    )
    for exporter in wishes.traces:
        if exporter == "console":
            provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
        else:
            provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)
    telemetry.spans = Spans(provider.get_tracer(SCOPE, version("pullwork")), ids)
    telemetry.ends_with(provider.shutdown)


def _start_metrics(telemetry: Telemetry, wishes: Wishes, resource: Resource, listen: str) -> None:
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import (
        ConsoleMetricExporter,
        MetricReader,
        PeriodicExportingMetricReader,
    )

    readers: list[MetricReader] = [
        PeriodicExportingMetricReader(
            ConsoleMetricExporter() if exporter == "console" else OTLPMetricExporter()
        )
        for exporter in wishes.metrics
    ]
    if listen:
        readers.append(_answer_prometheus(telemetry, listen))
    provider = MeterProvider(readers, resource, shutdown_on_exit=False)
    telemetry.meter = provider.get_meter(SCOPE, version("pullwork"))
    telemetry.ends_with(provider.shutdown)


def _answer_prometheus(telemetry: Telemetry, listen: str) -> Any:
    import prometheus_client
    from opentelemetry.exporter.prometheus import PrometheusMetricReader

    host, _, port = listen.rpartition(":")
    registry = prometheus_client.CollectorRegistry()
    reader = PrometheusMetricReader(scope_info_enabled=False, registry=registry)
    # Of the process itself: its memory, its processor time, its open files.
    prometheus_client.ProcessCollector(registry=registry)
    try:
        server, thread = prometheus_client.start_http_server(int(port), host.strip("[]"), registry)
    except OSError as error:
        raise SettingsError(
            f"can't answer Prometheus on {listen}: {error.strerror or error}; choose another "
            "address with metrics_listen"
        ) from error

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    telemetry.listens = f"{host}:{server.server_port}"
    telemetry.ends_with(end)
    return reader
