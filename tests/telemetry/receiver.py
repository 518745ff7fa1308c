"""A real OTLP receiver in the test's process: keeps all spans and the last of each metric."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1 import trace_pb2


def words(attributes: Any) -> dict[str, Any]:
    """Returns attributes as a dictionary."""
    pairs: list[KeyValue] = list(attributes)
    return {it.key: getattr(it.value, str(it.value.WhichOneof("value"))) for it in pairs}


@dataclass(frozen=True)
class Seen:
    """A span, and which process sent it."""

    service: str
    resource: dict[str, Any]
    span: trace_pb2.Span

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def attributes(self) -> dict[str, Any]:
        return words(self.span.attributes)


class Receiver:
    """Listens on a port of its own until `close`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[Seen] = []
        self._metrics: dict[tuple[str, str], Metric] = {}
        self._server = grpc.server(ThreadPoolExecutor(4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Traces(self), self._server)
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(self), self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.endpoint = f"http://127.0.0.1:{port}"

    def close(self) -> None:
        """Ends it."""
        self._server.stop(None).wait()

    def take_spans(self, request: trace_pb.ExportTraceServiceRequest) -> None:
        """Keeps spans."""
        with self._lock:
            self._spans.extend(_spans_of(request))

    def take_metrics(self, request: metrics_pb.ExportMetricsServiceRequest) -> None:
        """Keeps metrics; what was told before is outdated."""
        with self._lock:
            for each in request.resource_metrics:
                service = str(words(each.resource.attributes)["service.name"])
                for scope in each.scope_metrics:
                    self._metrics.update({(service, it.name): it for it in scope.metrics})

    def spans(self, name: str = "") -> list[Seen]:
        """Returns what has come, or what of that has a name."""
        with self._lock:
            return [seen for seen in self._spans if not name or seen.name == name]

    def metric(self, service: str, name: str) -> Metric | None:
        """Returns a metric as it was told last."""
        with self._lock:
            return self._metrics.get((service, name))


def _spans_of(request: trace_pb.ExportTraceServiceRequest) -> Iterator[Seen]:
    for each in request.resource_spans:
        resource = words(each.resource.attributes)
        for scope in each.scope_spans:
            for span in scope.spans:
                yield Seen(str(resource["service.name"]), resource, span)


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def Export(
        self, request: trace_pb.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_pb.ExportTraceServiceResponse:
        self._receiver.take_spans(request)
        return trace_pb.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def Export(
        self, request: metrics_pb.ExportMetricsServiceRequest, context: grpc.ServicerContext
    ) -> metrics_pb.ExportMetricsServiceResponse:
        self._receiver.take_metrics(request)
        return metrics_pb.ExportMetricsServiceResponse()
