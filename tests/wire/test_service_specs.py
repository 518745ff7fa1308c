"""A service's spec is taken whole, with its defaults, or refused by the name of a field."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration

from pullwork.v1 import service_pb2 as pb
from pullwork_master.core.rejections import Reason, Rejection
from pullwork_master.orchestrator import records
from pullwork_master.reconciler.model import Runner, Wanted
from pullwork_master.wire import service_specs

LEAST = {"image": "nginx"}
PORTS = [{"port": 80}]


def spec(**fields: Any) -> pb.ServiceSpec:
    """Makes a spec of JSON's words."""
    return json_format.ParseDict(fields, pb.ServiceSpec())


def shown(made: pb.ServiceSpec) -> dict[str, Any]:
    """Returns a spec in JSON's words."""
    return json_format.MessageToDict(made, preserving_proto_field_name=True)


def test_every_default_is_filled_in() -> None:
    assert shown(service_specs.filled(spec(image="nginx", ports=PORTS, health={"http": {}}))) == {
        "instances": 1,
        "image": "nginx",
        "ports": [{"name": "80", "port": 80}],
        "resources": {},
        "health": {
            "http": {"path": "/"},
            "interval": "2s",
            "timeout": "2s",
            "failures": 3,
            "start_period": "30s",
            "restart_after": "10s",
        },
        "restart": {"initial_backoff": "1s", "max_backoff": "60s", "reset_after": "60s"},
        "placement": {},
        "disconnect": {"replace_after": "30s"},
        "update": {
            "max_surge": 1,
            "max_unavailable": 0,
            "healthy_for": "2s",
            "deadline": "120s",
            "on_failure": "UPDATE_FAILURE_ACTION_RETURN",
        },
        "stop_grace": "10s",
        "stop_delay": "2s",
    }


FULL: dict[str, Any] = {
    "instances": 3,
    "image": "registry.example:5000/team/app:1.2@sha256:" + "a" * 64,
    "command": ["serve", ""],
    "ports": [{"name": "web", "port": 80, "host_port": 8080}, {"port": 443}],
    "env": {"A": "1", "B": ""},
    "resources": {"cpus": 0.5, "memory_bytes": str(64 << 20)},
    "health": {"tcp": {"port": "web"}, "interval": "0.1s", "failures": 7},
    "restart": {"initial_backoff": "120s"},
    "placement": {"constraints": {"zone": "a"}, "spread_by": "rack", "max_per_node": 2},
    "disconnect": {"wait": True},
    "update": {"max_surge": 0, "max_unavailable": 1, "on_failure": "UPDATE_FAILURE_ACTION_PAUSE"},
    "stop_grace": "0s",
    "stop_delay": "600s",
    "labels": {"team": "a"},
}
SPECS = [
    LEAST,
    FULL,
    {"command": ["serve"], "ports": [{}], "health": {"http": {}}},
    {"command": ["serve"], "ports": [{"port": 80, "host_port": 80}]},
    {"image": "nginx", "health": {"command": {"command": ["true"]}}},
    {"image": "nginx", "instances": 0},
]


@pytest.mark.parametrize("fields", SPECS, ids=str)
def test_what_was_filled_in_can_be_sent_back_and_changes_nothing(fields: dict[str, Any]) -> None:
    made = service_specs.filled(spec(**fields))
    assert service_specs.filled(made) == made
    assert service_specs.filled(service_specs.merged(made, made)) == made
    assert service_specs.filled(service_specs.merged(made, pb.ServiceSpec())) == made
    assert service_specs.filled(spec(**shown(made))) == made


def test_two_that_mean_the_same_are_made_of_the_same() -> None:
    least = records.wanted(service_specs.filled(spec(**LEAST)))
    for more in (
        {"resources": {"cpus": 0}},
        {"stop_grace": "10s"},
        {"stop_delay": "0s"},
        {"instances": 7},
        {"placement": {"max_per_node": 1}},
        {"update": {"max_surge": 2}},
        {"restart": {}},
        {"disconnect": {"wait": True}},
        {"command": []},
    ):
        other = records.wanted(service_specs.filled(spec(**LEAST, **more)))
        assert other.template == least.template, more
    odd = spec(**LEAST)
    odd.stop_grace.CopyFrom(Duration(seconds=9, nanos=1_000_000_000))
    assert records.wanted(service_specs.filled(odd)) == least


@pytest.mark.parametrize(
    "change",
    [
        {"image": "nginx:2"},
        {"command": ["x"]},
        {"ports": PORTS},
        {"env": {"A": "2"}},
        {"resources": {"cpus": 1}},
        {"health": {"command": {"command": ["true"]}}},
        {"stop_grace": "11s"},
        {"stop_delay": "2s"},
        {"labels": {"a": "b"}},
    ],
    ids=str,
)
def test_what_instances_are_made_of_makes_another_template(change: dict[str, Any]) -> None:
    before = service_specs.filled(spec(**LEAST))
    after = service_specs.filled(service_specs.merged(before, spec(**change)))
    assert records.wanted(after).template != records.wanted(before).template
    told = pb.ServiceSpec.FromString(records.wanted(after).template)
    assert told == records.template(after)


def test_the_reconciler_knows_what_was_said() -> None:
    told = records.wanted(service_specs.filled(spec(**FULL)))

    assert (told.instances, told.runner) == (3, Runner.CONTAINER)
    assert (told.cpus, told.memory_bytes, told.host_ports) == (0.5, 64 << 20, (8080,))
    assert tuple(told.restart) == (120_000, 120_000, 60_000)
    assert (told.constraints, told.spread_by, told.max_per_node) == ((("zone", "a"),), "rack", 2)
    assert told.replace_after_ms is None
    assert tuple(told.update) == (0, 1, 2_000, 120_000, False)


def test_the_defaults_are_those_of_the_reconciler() -> None:
    told = records.wanted(service_specs.filled(spec(**LEAST)))
    assert told == Wanted(1, Runner.CONTAINER, told.template)


def test_a_process_takes_its_port_of_the_node() -> None:
    fields = {"command": ["serve"], "ports": [{"port": 80}, {"name": "any"}, {}]}
    made = service_specs.filled(spec(**fields))
    assert [port.name for port in made.ports] == ["80", "any", "main"]
    told = records.wanted(made)
    assert (told.runner, told.host_ports) == (Runner.PROCESS, (80,))


def test_a_change_replaces_whole_what_it_names_and_nothing_else() -> None:
    before = service_specs.filled(spec(**FULL))
    change = spec(env={"C": "3"}, instances=0, health={"tcp": {}}, ports=[{"port": 1}])
    after = service_specs.filled(service_specs.merged(before, change))
    assert (dict(after.env), after.instances) == ({"C": "3"}, 0)
    assert [port.name for port in after.ports] == ["1"]
    assert after.health.failures == 3
    for kept in ("command", "placement", "labels", "update", "image"):
        assert getattr(after, kept) == getattr(before, kept)


IMAGES = {
    True: [
        "nginx",
        "nginx:1.27",
        "library/nginx",
        "localhost:5000/a",
        "ghcr.io/a/b_c/d--e:V1.2-x",
        "[::1]:5000/a",
        "a@sha256:" + "0" * 64,
    ],
    False: [
        "Nginx",
        "https://example.com/nginx",
        "nginx:",
        "nginx:a b",
        "/nginx",
        "a//b",
        "a/",
        "-a",
        "a@sha256:0",
        "nginx\n",
        "a" * 513,
    ],
}


@pytest.mark.parametrize("image", IMAGES[True])
def test_a_reference_to_an_image_is_taken(image: str) -> None:
    assert service_specs.filled(spec(image=image)).image == image


@pytest.mark.parametrize("image", IMAGES[False])
def test_what_is_no_reference_to_an_image_is_refused(image: str) -> None:
    with pytest.raises(Rejection) as caught:
        service_specs.filled(spec(image=image))
    assert caught.value.field == "spec.image"


# What is wrong with a spec of an image, the field to blame, and a word of what is said.
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"instances": -1}, "instances", "from 0 to 10000"),
    ({"instances": 10_001}, "instances", "from 0 to 10000"),
    ({"image": ""}, "image", "command"),
    ({"command": ["a"] * 1_025}, "command", "1024"),
    ({"command": ["x" * 65_537]}, "command", "65536"),
    ({"command": ["a", "b\0"]}, "command[1]", "zero"),
    ({"command": ["", "b"]}, "command[0]", "program"),
    ({"ports": [{"port": 80}, {"port": 80}]}, "ports[1].port", "ports[0]"),
    ({"ports": [{"port": 80}, {}]}, "ports[1].port", "required"),
    ({"ports": [{"port": 65_536}]}, "ports[0].port", "65535"),
    ({"ports": [{"port": -1}]}, "ports[0].port", "65535"),
    ({"ports": [{"port": 1, "name": "Web"}]}, "ports[0].name", "a-z"),
    ({"ports": [{"port": 1, "name": "x" * 64}]}, "ports[0].name", "63"),
    ({"ports": [{"port": 1, "name": "2"}, {"port": 2}]}, "ports[1].name", "ports[0]"),
    ({"ports": [{"port": 1, "host_port": 65_536}]}, "ports[0].host_port", "65535"),
    (
        {"ports": [{"port": 1, "host_port": 9}, {"port": 2, "host_port": 9}]},
        "ports[1].host_port",
        "ports[0]",
    ),
    ({"ports": [{"port": n} for n in range(1, 66)]}, "ports", "64"),
    (
        {"image": "", "command": ["a"], "ports": [{"port": 1, "host_port": 2}]},
        "ports[0].host_port",
        "itself",
    ),
    ({"env": {str(n): "" for n in range(257)}}, "env", "256"),
    ({"env": {"A": "x" * 65_536}}, "env", "65536"),
    ({"env": {"": "x"}}, "env", "name"),
    ({"env": {"A=B": "x"}}, "env", "A=B"),
    ({"env": {"A": "\0"}}, "env", "zero"),
    ({"resources": {"cpus": -1}}, "resources.cpus", "from 0.01 to 1024"),
    ({"resources": {"cpus": 1_025}}, "resources.cpus", "1024"),
    ({"resources": {"cpus": 0.001}}, "resources.cpus", "0.01"),
    ({"resources": {"cpus": "NaN"}}, "resources.cpus", "0.01"),
    ({"resources": {"cpus": "Infinity"}}, "resources.cpus", "0.01"),
    ({"resources": {"memory_bytes": -1}}, "resources.memory_bytes", "6 MiB"),
    ({"resources": {"memory_bytes": 1}}, "resources.memory_bytes", "6 MiB"),
    ({"resources": {"memory_bytes": str(2**60)}}, "resources.memory_bytes", "6 MiB"),
    ({"health": {}}, "health", "tcp"),
    ({"health": {"interval": "1s"}}, "health", "tcp"),
    ({"health": {"tcp": {}}}, "health.tcp.port", "ports"),
    ({"ports": PORTS, "health": {"tcp": {"port": "web"}}}, "health.tcp.port", "there are 80"),
    ({"ports": PORTS, "health": {"http": {"port": "web"}}}, "health.http.port", "there are 80"),
    ({"ports": PORTS, "health": {"http": {"path": "x"}}}, "health.http.path", "begin with /"),
    ({"ports": PORTS, "health": {"http": {"path": "/a b"}}}, "health.http.path", "plain"),
    ({"ports": PORTS, "health": {"http": {"path": "/" * 2_049}}}, "health.http.path", "2048"),
    ({"health": {"command": {}}}, "health.command.command", "at least one"),
    ({"health": {"command": {"command": [""]}}}, "health.command.command[0]", "program"),
    ({"ports": PORTS, "health": {"tcp": {}, "interval": "0.099s"}}, "health.interval", "100 ms"),
    ({"ports": PORTS, "health": {"tcp": {}, "timeout": "601s"}}, "health.timeout", "10 min"),
    ({"ports": PORTS, "health": {"tcp": {}, "failures": 101}}, "health.failures", "100"),
    ({"ports": PORTS, "health": {"tcp": {}, "failures": -1}}, "health.failures", "100"),
    (
        {"ports": PORTS, "health": {"tcp": {}, "start_period": "3601s"}},
        "health.start_period",
        "1 h",
    ),
    (
        {"ports": PORTS, "health": {"tcp": {}, "restart_after": "-1s"}},
        "health.restart_after",
        "negative",
    ),
    ({"restart": {"initial_backoff": "0s"}}, "restart.initial_backoff", "10 ms"),
    ({"restart": {"max_backoff": "90000s"}}, "restart.max_backoff", "24 h"),
    ({"restart": {"max_backoff": "0.5s"}}, "restart.max_backoff", "initial_backoff"),
    ({"restart": {"reset_after": "90000s"}}, "restart.reset_after", "24 h"),
    ({"placement": {"constraints": {"": "x"}}}, "placement.constraints", "name"),
    ({"placement": {"spread_by": "x" * 129}}, "placement.spread_by", "128"),
    ({"placement": {"max_per_node": -1}}, "placement.max_per_node", "10000"),
    ({"disconnect": {"replace_after": "90000s"}}, "disconnect.replace_after", "24 h"),
    (
        {"disconnect": {"replace_after": "1s", "wait": True}},
        "disconnect.replace_after",
        "one of them",
    ),
    ({"update": {"max_surge": 101}}, "update.max_surge", "100"),
    ({"update": {"max_unavailable": -1}}, "update.max_unavailable", "100"),
    ({"update": {"max_surge": 0}}, "update.max_surge", "max_unavailable"),
    ({"update": {"healthy_for": "3601s"}}, "update.healthy_for", "1 h"),
    ({"update": {"deadline": "0s"}}, "update.deadline", "1 s"),
    ({"update": {"on_failure": 9}}, "update.on_failure", "RETURN"),
    ({"stop_grace": "3601s"}, "stop_grace", "1 h"),
    ({"stop_delay": "601s"}, "stop_delay", "10 min"),
    ({"stop_delay": "-1s"}, "stop_delay", "negative"),
    ({"labels": {"": "x"}}, "labels", "name"),
    ({"labels": {str(n): "" for n in range(65)}}, "labels", "64"),
]


def test_callers_of_what_has_ports_get_time_to_hear_that_it_ends() -> None:
    for ports, said, delay_s in ((PORTS, {}, 2), ([], {}, 0), (PORTS, {"stop_delay": "0s"}, 0)):
        made = service_specs.filled(spec(command=["serve"], ports=ports, **said))
        assert made.stop_delay == Duration(seconds=delay_s), (ports, said)


@pytest.mark.parametrize(("wrong", "field", "says"), BAD, ids=lambda it: str(it)[:60])
def test_a_bad_field_is_refused_by_its_path_with_a_remedy(
    wrong: dict[str, Any], field: str, says: str
) -> None:
    with pytest.raises(Rejection) as caught:
        service_specs.filled(spec(**(LEAST | wrong)))
    refused = caught.value
    assert (refused.reason, refused.field) == (Reason.INVALID_FIELD, f"spec.{field}")
    assert refused.message.startswith(f"spec.{field} ")
    assert says in refused.message


@pytest.mark.parametrize("name", ["a", "web", "a-1", "a--b", "a" * 40])
def test_a_name_is_taken(name: str) -> None:
    assert service_specs.new_name(name, "name") == name


@pytest.mark.parametrize(
    "name", ["", "A", "1a", "-a", "a-", "a_b", "a.b", "a" * 41, "a\n", "watch"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(Rejection) as caught:
        service_specs.new_name(name, "name")
    assert caught.value.field == "name"
