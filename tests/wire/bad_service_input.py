"""The table of bad requests, continued: what is got wrong about services, and by nodes.

What can be wrong with a spec has a table of its own, beside the one place where it is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bad_input import ABSENT_ID, Row, World
from google.protobuf.timestamp_pb2 import Timestamp

from pullwork.v1 import node_service_pb2 as n
from pullwork.v1 import orchestrator_service_pb2 as o

_CREATE, _UPDATE, _SCALE = "CreateService", "UpdateService", "ScaleService"
_INSTANCES, _LOGS = "ListInstances", "WatchLogs"
_REPORT, _SEND = "ReportInstances", "SendLogs"
_ABSENT = "SERVICE_NOT_FOUND"


def create(name: str = "new", **spec: Any) -> Callable[[World], o.CreateServiceRequest]:
    """Makes a request that is wrong in its name, or in one field of its spec."""
    return lambda _: o.CreateServiceRequest(name=name, spec={"image": "nginx", **spec})


def update(name: str = "web", **more: Any) -> Callable[[World], o.UpdateServiceRequest]:
    """Makes a change that is wrong."""
    return lambda _: o.UpdateServiceRequest(**{"name": name, "spec": {"instances": 2}, **more})


def listed(**chosen: Any) -> Callable[[World], o.ListInstancesRequest]:
    """Makes a question for instances."""
    return lambda _: o.ListInstancesRequest(**chosen)


def logs(**chosen: Any) -> Callable[[World], o.WatchLogsRequest]:
    """Makes a question for lines."""
    return lambda _: o.WatchLogsRequest(**{"service": "web", **chosen})


def report(**wrong: Any) -> Callable[[World], n.ReportInstancesRequest]:
    """Makes a node's report that is wrong beside its instances."""
    return lambda world: n.ReportInstancesRequest(**{"session_id": world.node_session, **wrong})


def instance(**wrong: Any) -> Callable[[World], n.ReportInstancesRequest]:
    """Makes a report of two instances, of which the second is wrong in one way."""
    good = {"task_id": ABSENT_ID[:-1] + "0", "instance_id": "web-1", "state": 4}
    bad = {"task_id": ABSENT_ID, "instance_id": "web-2", "state": 4, **wrong}
    return report(instances=[good, bad])


SERVICES = [
    Row(_CREATE, create(""), "name", says="required"),
    Row(_CREATE, create("Web"), "name", says="a-z"),
    Row(_CREATE, create("x" * 41), "name", says="40"),
    Row(_CREATE, create("watch"), "name", says="choose another"),
    Row(_CREATE, create("web"), "", "SERVICE_EXISTS", "'web'"),
    Row(_CREATE, lambda _: o.CreateServiceRequest(name="new"), "spec", says="required"),
    Row(_CREATE, create(image=""), "spec.image", says="command"),
    Row(_CREATE, create(image="a b"), "spec.image", says="nginx"),
    Row(_CREATE, create(instances=-1), "spec.instances", says="from 0 to 10000"),
    Row(_CREATE, create(instances=2_000_000_000), "spec.instances", says="from 0 to 10000"),
    Row(_CREATE, create(ports=[{"port": 80}, {"port": 80}]), "spec.ports[1].port", says="another"),
    Row(_CREATE, create(ports=[{"port": 70_000}]), "spec.ports[0].port", says="65535"),
    Row("GetService", lambda _: o.GetServiceRequest(), "name", says="required"),
    Row("GetService", lambda _: o.GetServiceRequest(name="x/y"), "name"),
    Row("GetService", lambda _: o.GetServiceRequest(name="none"), "", _ABSENT),
    Row("ListServices", lambda _: o.ListServicesRequest(page_size=-1), "page_size"),
    Row("ListServices", lambda _: o.ListServicesRequest(page_size=1_001), "page_size"),
    Row("ListServices", lambda w: o.ListServicesRequest(page_token=w.page_token), "page_token"),
    Row("ListServices", lambda _: o.ListServicesRequest(page_token="x"), "page_token"),
    Row(_SCALE, lambda _: o.ScaleServiceRequest(name="web"), "instances", says="required"),
    Row(_SCALE, lambda _: o.ScaleServiceRequest(name="web", instances=-1), "instances"),
    Row(_SCALE, lambda _: o.ScaleServiceRequest(name="web", instances=10_001), "instances"),
    Row(_SCALE, lambda _: o.ScaleServiceRequest(instances=1), "name"),
    Row(_SCALE, lambda _: o.ScaleServiceRequest(name="none", instances=1), "", _ABSENT),
    Row(_UPDATE, lambda _: o.UpdateServiceRequest(name="web"), "spec", says="required"),
    Row(_UPDATE, update(""), "name"),
    Row(_UPDATE, update("none"), "", _ABSENT),
    Row(_UPDATE, update(spec={"instances": -1}), "spec.instances"),
    Row(_UPDATE, update(spec={"instances": 1}, replace=True), "spec.image", says="command"),
    Row(_UPDATE, update(expected_revision=-1), "expected_revision"),
    Row(_UPDATE, update(expected_revision=99), "", "REVISION_CONFLICT", "99"),
    Row(_UPDATE, update(spec={"image": "a b"}, dry_run=True), "spec.image"),
    Row("DeleteService", lambda _: o.DeleteServiceRequest(), "name"),
    Row("DeleteService", lambda _: o.DeleteServiceRequest(name="none"), "", _ABSENT),
    Row(_INSTANCES, listed(service="Web"), "service"),
    Row(_INSTANCES, listed(service="none"), "", _ABSENT),
    Row(_INSTANCES, listed(node="x" * 129), "node"),
    Row(_INSTANCES, listed(states=[4, 0]), "states[1]"),
    Row(_INSTANCES, listed(states=[99]), "states[0]"),
    Row(_INSTANCES, listed(page_size=1_001), "page_size"),
    Row(_INSTANCES, lambda w: o.ListInstancesRequest(page_token=w.page_token), "page_token"),
    Row("WatchInstances", lambda _: o.WatchInstancesRequest(service="Web"), "service"),
    Row("WatchInstances", lambda _: o.WatchInstancesRequest(service="none"), "", _ABSENT),
    Row(_LOGS, logs(service=""), "service", says="required"),
    Row(_LOGS, logs(service="none"), "", _ABSENT),
    Row(_LOGS, logs(instance="web-7"), "", "INSTANCE_NOT_FOUND"),
    Row(_LOGS, logs(instance="x" * 129), "instance"),
    Row(_LOGS, logs(tail_lines=-1), "tail_lines"),
    Row(_LOGS, logs(tail_lines=10_001), "tail_lines"),
    Row("ListNodes", lambda _: o.ListNodesRequest(page_size=-1), "page_size"),
    Row("ListNodes", lambda w: o.ListNodesRequest(page_token=w.page_token), "page_token"),
]

NODES = [
    Row(_REPORT, report(session_id=""), "session_id", says="required"),
    Row(_REPORT, report(session_id="x" * 129), "session_id"),
    Row(_REPORT, report(session_id="x"), "", "SESSION_LOST", "register anew"),
    Row(
        _REPORT,
        lambda w: n.ReportInstancesRequest(session_id=w.session),
        "session_id",
        says="node",
    ),
    Row(_REPORT, report(instances=[{}] * 10_001), "instances", says="10000"),
    Row(_REPORT, instance(task_id="12"), "instances[1].task_id", says="UUID"),
    Row(_REPORT, instance(task_id=ABSENT_ID[:-1] + "0"), "instances[1].task_id", says="twice"),
    Row(_REPORT, instance(instance_id=""), "instances[1].instance_id", says="required"),
    Row(_REPORT, instance(instance_id="x" * 65), "instances[1].instance_id"),
    Row(_REPORT, instance(state=0), "instances[1].state", says="HEALTHY"),
    Row(_REPORT, instance(state=1), "instances[1].state", says="HEALTHY"),
    Row(_REPORT, instance(state=7), "instances[1].state", says="HEALTHY"),
    Row(_REPORT, instance(state=99), "instances[1].state"),
    Row(_REPORT, instance(addresses=[{}] * 65), "instances[1].addresses"),
    Row(_REPORT, instance(addresses=[{"port": 1}]), "instances[1].addresses[0].host"),
    Row(_REPORT, instance(addresses=[{"host": "h"}]), "instances[1].addresses[0].port"),
    Row(
        _REPORT,
        instance(addresses=[{"host": "h", "port": 1, "name": "x" * 65}]),
        "instances[1].addresses[0].name",
    ),
    Row(_REPORT, instance(started_at=Timestamp(nanos=-1)), "instances[1].started_at"),
    Row(_REPORT, report(runners=["process", "vm"]), "runners[1]", says="container"),
    Row(_REPORT, report(cpus=-1), "cpus"),
    Row(_REPORT, report(cpus=float("nan")), "cpus"),
    Row(_REPORT, report(memory_bytes=-1), "memory_bytes"),
    Row(_SEND, lambda _: n.SendLogsRequest(log_id="x"), "session_id", says="required"),
    Row(_SEND, lambda w: n.SendLogsRequest(session_id=w.node_session), "log_id", says="required"),
    Row(
        _SEND,
        lambda w: n.SendLogsRequest(session_id=w.node_session, log_id="x" * 65),
        "log_id",
    ),
    Row(_SEND, lambda _: n.SendLogsRequest(session_id="x", log_id="x"), "", "SESSION_LOST"),
]
