"""Services as people write them, by files and flags: what is meant, and what is refused."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullwork import ServiceSpec
from pullwork.cli.differences import differences
from pullwork.cli.service_document import SpecReader, document_of
from pullwork.cli.service_file import FILE_BYTES_MAX, read_services
from pullwork.cli.service_flags import spec_of_flags
from pullwork.errors import InvalidFieldError
from pullwork.v1 import service_pb2 as pb

WHOLE = """
services:
  web:
    image: nginx:1.27
    command: [nginx, -g, "daemon off;"]
    instances: 3
    ports: [80, "http=8080", 8080:50, {name: x, port: 9, host_port: 10}]
    memory: 256MiB
    cpus: 0.5
    env: {VERSION: 1.10, on: yes, ZIP: 007, EMPTY: , DAY: 2024-01-01, BIG: 0o17, LONG: 1e3}
    health: {http: /healthz, interval: 500ms, failures: 5}
    restart: {max_backoff: 1h30m}
    placement: {constraints: {disk: ssd}, spread_by: zone, max_per_node: 2}
    disconnect: {wait: true}
    update: {max_surge: 0, max_unavailable: 1, on_failure: pause}
    stop_grace: 3
    labels: {team: a}
  clock:
    command: python3 -m clock "every hour"
    ports: [http]
    health: tcp
"""


def read(tmp_path: Path, text: str) -> dict[str, pb.ServiceSpec]:
    file = tmp_path / "services.yaml"
    file.write_text(text, encoding="utf-8")
    found = read_services([str(file)])
    return {name: spec.to_proto() for name, (_, spec) in found.items()}


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(InvalidFieldError) as caught:
        read(tmp_path, text)
    return str(caught.value)


def test_a_file_means_what_the_contract_calls_it(tmp_path: Path) -> None:
    web = read(tmp_path, WHOLE)["web"]
    assert (web.instances, web.image, web.resources.cpus) == (3, "nginx:1.27", 0.5)
    assert web.command == ["nginx", "-g", "daemon off;"]
    assert web.resources.memory_bytes == 256 * 2**20
    assert (web.health.http.path, web.health.failures) == ("/healthz", 5)
    assert web.health.interval.ToMilliseconds() == 500
    assert web.restart.max_backoff.ToSeconds() == 5400
    assert dict(web.placement.constraints) == {"disk": "ssd"}
    assert (web.placement.spread_by, web.placement.max_per_node) == ("zone", 2)
    assert web.disconnect.wait
    assert (web.update.max_surge, web.update.HasField("max_surge")) == (0, True)
    assert web.update.on_failure == pb.UPDATE_FAILURE_ACTION_PAUSE
    assert (web.stop_grace.ToSeconds(), dict(web.labels)) == (3, {"team": "a"})


def test_ports_are_written_in_several_ways(tmp_path: Path) -> None:
    found = read(tmp_path, WHOLE)
    told = [(port.name, port.port, port.host_port) for port in found["web"].ports]
    assert told == [("", 80, 0), ("http", 8080, 0), ("", 50, 8080), ("x", 9, 10)]
    assert [(port.name, port.port) for port in found["clock"].ports] == [("http", 0)]


def test_a_value_is_the_text_that_was_written_whatever_it_looks_like(tmp_path: Path) -> None:
    assert dict(read(tmp_path, WHOLE)["web"].env) == {
        "VERSION": "1.10",
        "on": "yes",
        "ZIP": "007",
        "EMPTY": "",
        "DAY": "2024-01-01",
        "BIG": "0o17",
        "LONG": "1e3",
    }


def test_a_command_in_one_text_is_split_as_a_shell_would(tmp_path: Path) -> None:
    clock = read(tmp_path, WHOLE)["clock"]
    assert clock.command == ["python3", "-m", "clock", "every hour"]
    assert clock.health.WhichOneof("way") == "tcp"


@pytest.mark.parametrize(
    ("written", "way", "message"),
    [
        ("http", "http", {"path": "/"}),
        ("http:/a:b", "http", {"path": "/a:b"}),
        ("tcp", "tcp", {}),
        ("tcp:web", "tcp", {"port": "web"}),
        ("'cmd:test -f x'", "command", {"command": ["test", "-f", "x"]}),
        ("{command: [a, b]}", "command", {"command": ["a", "b"]}),
        ("{http: {path: /x, port: web}}", "http", {"path": "/x", "port": "web"}),
    ],
)
def test_health_is_written_in_several_ways(
    tmp_path: Path, written: str, way: str, message: dict[str, Any]
) -> None:
    found = read(tmp_path, f"services: {{a: {{health: {written}}}}}")["a"].health
    assert found.WhichOneof("way") == way
    assert document_of(getattr(found, way)) == message


def test_json_is_a_file_of_services_too(tmp_path: Path) -> None:
    text = json.dumps({"services": {"a": {"image": "x", "instances": 2, "ports": [80]}}}, indent=1)
    found = read(tmp_path, text)["a"]
    assert (found.image, found.instances, found.ports[0].port) == ("x", 2, 80)


BAD = {
    "a: 1": "line 1: a is not known",
    "service: {}": "did you mean services?",
    "": "has no services: write `services:`",
    "services: 3": "has no services",
    "services: [": "no YAML",
    "services:\n\ta: b": "line 2: no YAML",
    "services: {a: {image: x}, a: {}}": "a stands twice",
    "services: {a: &x {image: y}, b: *x}": "anchors and aliases (&x, *x) are not taken",
    "services: {a: {env: !!python/name:os.system x}}": "the tag",
    "services: {? [a] : b}": "can't be a name",
    "services: {a: }": "a is ''; write some of instances, image",
    "services:\n  a:\n    imge: x": "line 3: a.imge is not known (did you mean image?)",
    "services: {a: {image: [x]}}": "a.image is a list; it must be a text",
    "services: {a: {instances: three}}": "a.instances can't be 'three': write a whole number",
    "services: {a: {instances: 1.5}}": "a.instances can't be '1.5'",
    "services: {a: {instances: 99999999999}}": "a whole number that is not so large",
    "services: {a: {ports: 80}}": "a.ports is '80'; it must be a list of ports",
    "services: {a: {ports: ['80/udp']}}": "a.ports[0] can't be '80/udp': write 80, NAME=80",
    "services: {a: {ports: [{prt: 80}]}}": "a.ports[0].prt is not known (did you mean port?)",
    "services: {a: {memory: lots}}": "a.resources.memory can't be 'lots': write a size",
    "services: {a: {memory: 1, resources: {memory: 2}}}": "a.memory is said twice",
    "services: {a: {cpus: nan}}": "write a number, e.g. 0.5",
    "services: {a: {env: [A=1]}}": "it must be names and values, NAME: VALUE",
    "services: {a: {env: {A: [1]}}}": "a.env.A is a list; it must be a text",
    "services: {a: {command: 'a \"b'}}": "a.command can't be split into words",
    "services: {a: {command: {x: y}}}": "it must be a program and its arguments",
    "services: {a: {command: [[x]]}}": "a.command[0] is a list",
    "services: {a: {health: udp}}": "a.health can't be 'udp': write http:/PATH",
    "services: {a: {health: 'cmd:'}}": "a.health can't be 'cmd:'",
    "services: {a: {health: {http: /, tcp: }}}": "a.health.tcp is a second way beside http",
    "services: {a: {stop_grace: soon}}": "write seconds, or a number with ms, s, m, h or d",
    "services: {a: {disconnect: {wait: perhaps}}}": "write true or false",
    "services: {a: {update: {on_failure: explode}}}": "write return or pause",
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_wrong_in_a_file_is_named_with_its_remedy(tmp_path: Path, text: str) -> None:
    assert BAD[text] in refused(tmp_path, text)


def test_all_that_is_wrong_is_told_at_once_with_its_lines(tmp_path: Path) -> None:
    text = "services:\n  a:\n    imge: x\n    cpus: y\n  b:\n    ports: 1\n"
    lines = refused(tmp_path, text).splitlines()
    assert [re.findall(r"line (\d+): (\S+)", line)[0] for line in lines] == [
        ("3", "a.imge"),
        ("2", "a.resources.cpus"),
        ("6", "b.ports"),
    ]


def test_a_file_past_its_bounds_is_refused(tmp_path: Path) -> None:
    assert "larger than 1 MiB" in refused(tmp_path, "#" * (FILE_BYTES_MAX + 1))
    assert "nested too deeply" in refused(tmp_path, "[" * 10_000)
    (tmp_path / "latin").write_bytes(b"services: {\xe9: }")
    with pytest.raises(InvalidFieldError, match="no text in UTF-8"):
        read_services([str(tmp_path / "latin")])
    with pytest.raises(InvalidFieldError, match="can't be read: No such file"):
        read_services([str(tmp_path / "none")])


def test_a_service_in_two_files_is_refused_and_stdin_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.yaml").write_text("services: {a: {image: x}}")
    stdin = io.TextIOWrapper(io.BytesIO(b"services: {b: {image: y}}"))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert list(read_services([str(tmp_path / "a.yaml"), "-"])) == ["a", "b"]
    with pytest.raises(InvalidFieldError, match=r"a is there already, at .*a\.yaml, line 1: a"):
        read_services([str(tmp_path / "a.yaml")] * 2)


# --- flags


def test_flags_mean_what_a_file_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "env").write_text("# words\n\nA=1\nB=x=y\n")
    monkeypatch.setenv("FROM_HERE", "z")
    spec = spec_of_flags(
        {
            "image": "nginx",
            "command": ["a", "b c"],
            "instances": "3",
            "port": ["http=80", "8080:81"],
            "env": ["A=2", "FROM_HERE"],
            "env_file": [tmp_path / "env"],
            "cpus": "0.5",
            "memory": "64MiB",
            "health": "http:/x",
            "constraint": ["disk=ssd"],
            "max_per_node": "2",
            "replace_after": "1m",
            "label": ["a=b"],
            "stop_grace": "2s",
        }
    ).to_proto()
    assert document_of(spec) == {
        "instances": "3",
        "image": "nginx",
        "command": ["a", "b c"],
        "ports": ["http=80", "8080:81"],
        "env": {"A": "2", "B": "x=y", "FROM_HERE": "z"},
        "resources": {"cpus": "0.5", "memory_bytes": "64MiB"},
        "health": {"http": {"path": "/x"}},
        "placement": {"constraints": {"disk": "ssd"}, "max_per_node": "2"},
        "disconnect": {"replace_after": "1m"},
        "stop_grace": "2s",
        "labels": {"a": "b"},
    }


def test_a_flag_changes_one_part_and_leaves_the_others_of_it() -> None:
    before = spec_of_flags({"cpus": "1", "memory": "1GiB", "max_per_node": "3", "image": "a"})
    changed = spec_of_flags({"memory": "2GiB"}, before).to_proto()
    assert document_of(changed) == {"resources": {"cpus": "1", "memory_bytes": "2GiB"}}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"port": ["80", "x y"]}, "--port can't be 'x y': write 80, NAME=80"),
        ({"instances": "many"}, "--instances can't be 'many': write a whole number"),
        ({"cpus": "half"}, "--cpus can't be 'half'"),
        ({"memory": "1 gig"}, "--memory can't be '1 gig': write a size"),
        ({"health": "well"}, "--health can't be 'well': write http:/PATH"),
        ({"max_per_node": "-"}, "--max-per-node can't be '-'"),
        ({"stop_grace": "a while"}, "--stop-grace can't be 'a while'"),
        ({"replace_after": "x"}, "--replace-after can't be 'x'"),
        ({"label": ["a"]}, "--label can't be 'a': write NAME=VALUE"),
        ({"constraint": ["=a"]}, "--constraint can't be '=a'"),
        ({"env": ["=x"]}, "--env can't be '=x'"),
        ({"env": ["NOT_SET_HERE"]}, "there is no such variable here"),
        ({"env_file": [Path("/no/such")]}, "--env-file /no/such can't be read"),
    ],
)
def test_what_is_wrong_with_a_flag_names_it_and_the_remedy(
    given: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidFieldError, match=re.escape(said)):
        spec_of_flags(given)


def test_a_line_of_an_env_file_that_says_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("A=1\nexport\n")
    with pytest.raises(InvalidFieldError, match=r"line 2: 'export' is not NAME=VALUE"):
        spec_of_flags({"env_file": [tmp_path / "env"]})


# --- documents and their differences

spans = st.integers(1, 10**6).map(lambda ms: ms / 1000)
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
ports = st.builds(
    lambda name, port, host: pb.Port(name=name, port=port, host_port=host),
    st.from_regex(r"[a-z]{1,5}", fullmatch=True),
    st.integers(1, 65535),
    st.integers(0, 65535),
)


@given(
    words, st.lists(words), st.lists(ports), st.dictionaries(words, words), spans,
    st.integers(0, 2**40), st.booleans(), st.integers(0, 100),
)  # fmt: skip
def test_what_is_written_of_a_spec_is_read_back(
    image: str,
    command: list[str],
    doors: list[pb.Port],
    env: dict[str, str],
    span: float,
    memory: int,
    wait: bool,
    surge: int,
) -> None:
    spec = pb.ServiceSpec(image=image, command=command, ports=doors, env=env)
    spec.stop_grace.FromMilliseconds(round(span * 1000))
    spec.resources.memory_bytes = memory
    spec.disconnect.wait = wait
    spec.update.max_surge = surge
    reader = SpecReader(str)
    assert reader.read(document_of(spec), "") == spec
    assert reader.faults == []
    assert ServiceSpec.from_proto(spec).to_proto() == spec


def test_differences_tell_what_is_new_gone_and_changed() -> None:
    before = {"image": "a:1", "env": {"X": "1", "Y": "2"}, "ports": ["80"]}
    after = {"image": "a:2", "env": {"X": "1", "Z": "3"}, "ports": ["80", "81"]}
    assert differences(before, after) == [
        "~ image: a:1 → a:2",
        "+ env.Z: 3",
        "~ ports: [80] → [80, 81]",
        "- env.Y: 2",
    ]
    assert differences(before, before) == []
