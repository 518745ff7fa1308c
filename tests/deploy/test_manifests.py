"""The Kubernetes manifests are valid, and fit the images and settings that they run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from pullwork.settings import load
from pullwork.settings.quantity import parse_duration
from pullwork_master.config import MasterSettings
from pullwork_master.keda import externalscaler_pb2
from pullwork_master.wire.scaler_service import OLDEST, TASKS, read_target
from pullwork_worker.config import WorkerSettings

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
# The oldest and the newest that are meant.
VERSIONS = ("1.29", "1.37")


def documents(name: str = "*.yaml") -> Iterator[dict[str, Any]]:
    for path in sorted(KUBERNETES.glob(name)):
        yield from yaml.safe_load_all(path.read_text())


def label(document: dict[str, Any]) -> str:
    return f"{document['kind']} {document['metadata']['name']}"


# A kind of KEDA's own; its schema is not among those of Kubernetes.
STANDARD = [document for document in documents() if document["kind"] != "ScaledObject"]


def pod(component: str) -> dict[str, Any]:
    """The pod's spec of the master or the worker."""
    kinds = ("StatefulSet", "Deployment")
    [found] = [it for it in documents(f"{component}.yaml") if it["kind"] in kinds]
    spec: dict[str, Any] = found["spec"]["template"]["spec"]
    return spec


def environ(component: str) -> dict[str, str]:
    [container] = pod(component)["containers"]
    return {it["name"]: it.get("value", "a-pod") for it in container["env"]}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("document", STANDARD, ids=label)
def test_a_manifest_is_what_kubernetes_takes(document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_a_misspelt_key_would_be_found() -> None:
    [planted] = [it for it in documents("worker.yaml") if it["kind"] == "Deployment"]
    container = planted["spec"]["template"]["spec"]["containers"][0]
    container["livenessProb"] = container.pop("livenessProbe")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(planted, VERSIONS[-1], strict=True)


@pytest.mark.parametrize(
    ("component", "section"), [("master", MasterSettings), ("worker", WorkerSettings)]
)
def test_a_pod_s_variables_are_settings(component: str, section: Any) -> None:
    load(section, environ=environ(component))


def test_probes_ask_where_the_settings_listen() -> None:
    listens = {
        "master": load(MasterSettings, environ=environ("master")).listen,
        "worker": str(load(WorkerSettings, environ=environ("worker")).health_listen),
    }
    for component, listen in listens.items():
        [container] = pod(component)["containers"]
        assert listen.startswith("0.0.0.0:"), "the kubelet asks from outside the pod"
        port = int(listen.rpartition(":")[2])
        assert [it["containerPort"] for it in container["ports"]] == [port]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["grpc"]["port"] == port
        assert "service" not in container["livenessProbe"]["grpc"], "it must not ask about others"


def test_a_worker_has_more_time_to_end_than_it_needs_to_drain() -> None:
    grace_s = parse_duration(environ("worker")["PULLWORK_WORKER_DRAIN_GRACE"])
    assert pod("worker")["terminationGracePeriodSeconds"] >= grace_s + 10


@pytest.mark.parametrize("component", ["master", "worker"])
def test_a_pod_is_hardened_as_its_image_allows(component: str) -> None:
    spec = pod(component)
    [container] = spec["containers"]
    user = f"{spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}"
    assert f"\nUSER {user}\n" in (ROOT / f"Dockerfile.{component}").read_text()
    assert spec["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_what_selects_pods_finds_them() -> None:
    templates = [it["spec"]["template"] for it in documents() if "template" in it.get("spec", {})]
    labels = [set(it["metadata"]["labels"].items()) for it in templates]
    for document in documents():
        spec = document["spec"]
        selector = spec.get("selector") or spec.get("podSelector")
        if selector is not None:
            wanted = set(selector.get("matchLabels", selector).items())
            assert any(wanted <= each for each in labels), label(document)


def test_the_scaled_object_asks_for_what_the_master_answers() -> None:
    [scaled] = documents("keda.yaml")
    metrics = []
    for trigger in scaled["spec"]["triggers"]:
        assert trigger["type"] in ("external", "external-push")
        metadata = {key: str(value) for key, value in trigger["metadata"].items()}
        assert all(isinstance(value, str) for value in trigger["metadata"].values())
        metrics += read_target(externalscaler_pb2.ScaledObjectRef(scalerMetadata=metadata)).targets
        served = environ("worker")["PULLWORK_WORKER_QUEUES"].split(",")
        assert metadata["queue"] in served
        assert re.fullmatch(r"pullwork-master\.[a-z.-]+:7733", metadata["scalerAddress"])
    assert metrics == [TASKS, OLDEST]
