"""A receiver of traces and metrics, and a cluster of real processes that sends to it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster
from receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Listens as a collector does."""
    listening = Receiver()
    yield listening
    listening.close()


@pytest.fixture
def told(receiver: Receiver, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that is told of the receiver as any program is, by variables alone."""
    started = Cluster(tmp_path)
    started.env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
        "PULLWORK_MASTER_METRICS_LISTEN": "127.0.0.1:0",
        "PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[1] / 'service'}",
    }
    yield started
    started.close()
    print(started.story())


@pytest.fixture
def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port
