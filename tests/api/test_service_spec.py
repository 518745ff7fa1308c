"""What Python says of a service, and the message that it becomes."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest

from pullwork import (
    CommandCheck,
    HealthCheck,
    HttpCheck,
    InstanceInfo,
    InstanceState,
    InvalidFieldError,
    NodeInfo,
    Placement,
    Port,
    Resources,
    RolloutState,
    ServiceInfo,
    ServiceSpec,
    UpdateFailureAction,
    UpdatePolicy,
)
from pullwork.service_spec import CLASSES
from pullwork.v1 import orchestrator_service_pb2, service_pb2

SPEC = ServiceSpec(
    instances=3,
    image="nginx",
    command=["a", "b"],
    ports=[Port("http", 80), Port(port=81, host_port=8081)],
    env={"A": "1"},
    resources=Resources(cpus=0.5),
    health=HealthCheck(http=HttpCheck("/x"), interval=0.5, failures=2),
    placement=Placement(constraints={"disk": "ssd"}),
    update=UpdatePolicy(max_surge=0, on_failure=UpdateFailureAction.PAUSE),
    stop_grace=1.5,
    stop_delay=0.5,
)


def test_a_spec_becomes_its_message_and_comes_back() -> None:
    packed = SPEC.to_proto()
    assert (packed.instances, packed.ports[1].host_port) == (3, 8081)
    assert (packed.health.http.path, packed.health.interval.ToMilliseconds()) == ("/x", 500)
    assert packed.update.on_failure == service_pb2.UPDATE_FAILURE_ACTION_PAUSE
    assert packed.update.HasField("max_surge")
    assert ServiceSpec.from_proto(packed).to_proto() == packed


def test_what_is_not_said_is_absent() -> None:
    assert ServiceSpec().to_proto() == service_pb2.ServiceSpec()
    assert not ServiceSpec(image="x").to_proto().HasField("instances")
    assert ServiceSpec(instances=0).to_proto().HasField("instances")


@pytest.mark.parametrize("name", ["ServiceSpec", "Port", "Resources", "HealthCheck", "Placement"])
def test_a_class_has_the_fields_of_the_contract(name: str) -> None:
    message = service_pb2.DESCRIPTOR.message_types_by_name[name]
    assert {it.name for it in fields(CLASSES[name])} == set(message.fields_by_name)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"instances": "3"}, "spec.instances can't be '3'"),
        ({"instances": 2**40}, "spec.instances can't be"),
        ({"command": "python x"}, "spec.command can't be 'python x': it must be a list"),
        ({"ports": [80]}, "spec.ports can't be [80]"),
        ({"ports": [Port(port="a")]}, "spec.ports[0].port can't be 'a'"),  # type: ignore[arg-type]
        ({"env": {"A": 1}}, "spec.env can't be"),
        ({"stop_grace": "soon"}, "spec.stop_grace is no number of seconds"),
        ({"health": HealthCheck(command=CommandCheck([1]))}, "spec.health.command.command"),  # type: ignore[list-item]
        ({"update": UpdatePolicy(on_failure="x")}, "it must be one of RETURN, PAUSE"),  # type: ignore[arg-type]
    ],
)
def test_what_can_t_be_packed_is_refused_by_its_name(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidFieldError, match=re.escape(said)):
        ServiceSpec(**wrong).to_proto()


def test_what_a_newer_master_knows_is_unknown_here() -> None:
    told = service_pb2.Instance(id="a-1", last_exit=service_pb2.Exit(reason="gone"))
    told.MergeFromString(bytes([4 << 3, 99]))
    instance = InstanceInfo.from_proto(told)
    assert (instance.state, instance.started_at) == (InstanceState.UNKNOWN, None)
    assert instance.last_exit is not None
    assert instance.last_exit.code is None


def test_a_service_is_settled_when_all_that_is_wanted_is_well() -> None:
    def service(state: str, wanted: int, healthy: int, running: int) -> ServiceInfo:
        told = service_pb2.Service(healthy=healthy, running=running)
        told.spec.instances = wanted
        told.rollout.state = service_pb2.RolloutState.Value(f"ROLLOUT_STATE_{state}")
        return ServiceInfo.from_proto(told)

    assert service("DONE", 2, 2, 2).settled
    assert service("DONE", 0, 0, 0).settled
    assert not service("ROLLING", 2, 2, 2).settled
    assert not service("DONE", 2, 1, 2).settled
    assert not service("DONE", 2, 2, 3).settled
    assert service("RETURNED", 2, 2, 2).rollout.state.failed
    assert service("DONE", 2, 2, 2).rollout.state is RolloutState.DONE


def test_a_node_is_read_whole() -> None:
    told = orchestrator_service_pb2.Node(name="a", runners=["process"], labels={"x": "y"}, cpu=0.5)
    told.disconnected_since.FromSeconds(5)
    node = NodeInfo.from_proto(told)
    assert (node.name, node.runners, dict(node.labels), node.cpu) == (
        "a",
        ("process",),
        {"x": "y"},
        0.5,
    )
    assert node.disconnected_since is not None
