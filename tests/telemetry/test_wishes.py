"""What the variables ask for: nothing by default, and nothing that is not understood."""

from __future__ import annotations

import pytest

from pullwork.errors import SettingsError
from pullwork.telemetry.wishes import NOTHING, Wishes, read_wishes

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}


@pytest.mark.parametrize(
    ("environ", "wishes"),
    [
        ({}, NOTHING),
        ({"OTEL_SERVICE_NAME": "x", "OTEL_RESOURCE_ATTRIBUTES": "a=b"}, NOTHING),
        (ENDPOINT, Wishes(("otlp",), ("otlp",), "", "OTEL_EXPORTER_OTLP_ENDPOINT")),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "TRUE"}, Wishes(forbidden=True)),
        (
            {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            Wishes(forbidden=True),
        ),
        (
            ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"},
            Wishes((), ("otlp",), "", "OTEL_TRACES_EXPORTER"),
        ),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://example.com"},
            Wishes(("otlp",), (), "", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        ),
        (
            {"OTEL_METRICS_EXPORTER": "prometheus, otlp"},
            Wishes((), ("otlp",), "localhost:9464", "OTEL_METRICS_EXPORTER"),
        ),
        (
            {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_HOST": "0.0.0.0"},
            Wishes((), (), "0.0.0.0:9464", "OTEL_METRICS_EXPORTER"),
        ),
        ({"OTEL_TRACES_EXPORTER": ""}, NOTHING),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_TRACES_SAMPLER": "x"}, NOTHING),
    ],
)
def test_what_is_said_is_what_is_asked_for(environ: dict[str, str], wishes: Wishes) -> None:
    assert read_wishes(environ) == wishes
    assert bool(wishes) is (wishes != NOTHING and bool(wishes.because))


def test_all_faults_are_told_at_once_each_with_its_variable() -> None:
    bad = {
        "OTEL_SDK_DISABLED": "yes",
        "OTEL_TRACES_EXPORTER": "otlp,zipkin",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:port",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json",
        "OTEL_TRACES_SAMPLER": "traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "2",
        "OTEL_BSP_SCHEDULE_DELAY": "-1",
        "OTEL_EXPORTER_PROMETHEUS_PORT": "99999",
    }
    with pytest.raises(SettingsError) as refused:
        read_wishes(bad)
    lines = str(refused.value).splitlines()
    told = {line.split()[0] for line in lines}
    assert told == bad.keys() - {"OTEL_TRACES_SAMPLER"}
    assert all("allowed is" in line for line in lines)
