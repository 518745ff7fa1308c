"""Where settings come from, which of two wins, and what is said of bad ones."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from pydantic import Field, model_validator

from pullwork.errors import SettingsError
from pullwork.settings import (
    ClientSettings,
    Duration,
    HostPort,
    Known,
    MasterAddress,
    Section,
    Size,
    check_file,
    load,
    resolve,
)


class KilnSettings(Section):
    """A section with a field of every type that settings use."""

    section: ClassVar[str] = "kiln"

    count: int = Field(default=4, ge=1, le=64, description="How many.")
    share: float = Field(default=0.5, ge=0, lt=1)
    hot: bool = False
    title: str = Field(default="kiln", min_length=1)
    folder: Path = Path("./kiln")
    ready_file: Path | None = None
    colour: Literal["red", "blue"] = "red"
    soak: Duration = Field(default=30.0, ge=1)
    rest: Duration | None = None
    room: Size = Field(default=2**20, le=2**30)
    trays: list[str] = Field(default=["top"])
    glazes: list[Literal["matt", "gloss"]] = Field(default=[])
    labels: dict[str, str] = Field(default={})
    listen: HostPort = "127.0.0.1:1"
    address: MasterAddress = "127.0.0.1:7733"

    @model_validator(mode="after")
    def _hot_needs_room(self) -> KilnSettings:
        if self.hot and self.room == 0:
            raise ValueError("hot = true needs room above 0")
        return self


class BarnSettings(Section):
    """Another installed section."""

    section: ClassVar[str] = "barn"

    doors: int = 1
    address: MasterAddress = "127.0.0.1:7733"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def toml(text: str, name: str = "kiln.toml") -> Path:
    path = Path.cwd() / name
    path.write_text(text)
    return path


def refusal(
    flags: dict[str, object] | None = None,
    file: str | None = None,
    **environ: str,
) -> str:
    with pytest.raises(SettingsError) as caught:
        load(KilnSettings, flags or {}, toml(file) if file is not None else None, environ)
    return str(caught.value)


def test_without_anything_the_defaults_stand() -> None:
    assert load(KilnSettings, environ={}) == KilnSettings()


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default() -> None:
    file = toml("[kiln]\ncount = 2\nshare = 0.2\ntitle = 'file'\n")
    environ = {"PULLWORK_KILN_COUNT": "3", "PULLWORK_KILN_SHARE": "0.3"}
    resolved = resolve(KilnSettings, {"count": 5}, file, environ)
    values = resolved.values
    assert (values.count, values.share, values.title, values.hot) == (5, 0.3, "file", False)
    assert resolved.origins["count"] == "--count"
    assert resolved.origins["share"] == "PULLWORK_KILN_SHARE"
    assert resolved.origins["title"] == f"{file}: kiln.title"
    assert resolved.origins["hot"] == "default"


def test_a_flag_that_was_not_given_leaves_the_rest_alone() -> None:
    assert load(KilnSettings, {"count": None}, None, {"PULLWORK_KILN_COUNT": "7"}).count == 7


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load(KilnSettings, environ={"PULLWORK_KILN_COUNT": ""}).count == 4


def test_every_type_is_read_from_a_variable() -> None:
    values = load(
        KilnSettings,
        environ={
            "PULLWORK_KILN_HOT": "true",
            "PULLWORK_KILN_FOLDER": "/tmp/x",
            "PULLWORK_KILN_READY_FILE": "ready",
            "PULLWORK_KILN_COLOUR": "blue",
            "PULLWORK_KILN_SOAK": "1m30s",
            "PULLWORK_KILN_REST": "250ms",
            "PULLWORK_KILN_ROOM": "64MiB",
            "PULLWORK_KILN_TRAYS": "top, middle,",
            "PULLWORK_KILN_LABELS": "zone=a, rack = 7",
            "PULLWORK_KILN_LISTEN": "[::1]:0",
        },
    )
    assert values == KilnSettings(
        hot=True,
        folder=Path("/tmp/x"),
        ready_file=Path("ready"),
        colour="blue",
        soak=90.0,
        rest=0.25,
        room=64 * 2**20,
        trays=["top", "middle"],
        labels={"zone": "a", "rack": "7"},
        listen="[::1]:0",
    )


def test_every_type_is_read_from_a_file() -> None:
    file = toml(
        "[kiln]\nhot = true\nsoak = 90\nrest = '2h'\nroom = 4096\ntrays = ['a', 'b']\n"
        "[kiln.labels]\nzone = 'a'\n"
    )
    values = load(KilnSettings, config_file=file, environ={})
    assert (values.hot, values.soak, values.rest, values.room) == (True, 90.0, 7200.0, 4096)
    assert values.trays == ["a", "b"]
    assert values.labels == {"zone": "a"}


def test_none_takes_an_optional_value_back() -> None:
    file = toml("[kiln]\nrest = '5s'\nready_file = 'here'\n")
    environ = {"PULLWORK_KILN_REST": "none", "PULLWORK_KILN_READY_FILE": "None"}
    values = load(KilnSettings, config_file=file, environ=environ)
    assert (values.rest, values.ready_file) == (None, None)


def test_the_master_s_address_is_one_variable_for_every_section() -> None:
    environ = {"PULLWORK_ADDRESS": "master:7733"}
    assert load(KilnSettings, environ=environ).address == "master:7733"
    assert load(ClientSettings, environ=environ).address == "master:7733"


def test_the_file_is_found_by_flag_then_variable_then_in_the_folder() -> None:
    here = toml("[kiln]\ncount = 1\n", "pullwork.toml")
    named = toml("[kiln]\ncount = 2\n", "named.toml")
    asked = toml("[kiln]\ncount = 3\n", "asked.toml")
    environ = {"PULLWORK_CONFIG": str(named)}
    assert load(KilnSettings, {}, asked, environ).count == 3
    assert load(KilnSettings, {}, None, environ).count == 2
    assert load(KilnSettings, {}, None, {}).count == 1
    here.unlink()
    assert load(KilnSettings, {}, None, {}).count == 4


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("COUNT", "0", "a whole number, from 1 up to 64"),
        ("COUNT", "65", "a whole number, from 1 up to 64"),
        ("COUNT", "many", "a whole number"),
        ("COUNT", "1.5", "a whole number"),
        ("SHARE", "1", "a number, from 0 to less than 1"),
        ("HOT", "perhaps", "true or false"),
        ("COLOUR", "green", "one of red, blue"),
        ("SOAK", "5 parsecs", "a duration"),
        ("SOAK", "500ms", "from 1s"),
        ("SOAK", "-5", "a duration"),
        ("REST", "soon", '"none"'),
        ("ROOM", "2GiB", "up to 1GiB"),
        ("ROOM", "big", "64MiB"),
        ("LABELS", "zone", "name=value"),
        ("LISTEN", "7733", "host:port"),
        ("LISTEN", ":7733", "host:port"),
        ("LISTEN", "host:port", "host:port"),
        ("LISTEN", "host:65536", "host:port"),
        ("LISTEN", "::1:7733", "host:port"),
    ],
)
def test_a_bad_value_is_told_with_its_origin_and_what_is_allowed(
    variable: str, value: str, allowed: str
) -> None:
    said = refusal({}, None, **{f"PULLWORK_KILN_{variable}": value})
    assert f"kiln.{variable.lower()} can't be {value!r}" in said
    assert f"(from PULLWORK_KILN_{variable})" in said
    assert allowed in said


def test_a_bad_flag_is_told_by_its_flag() -> None:
    assert "(from --count)" in refusal({"count": 0})


def test_a_bad_value_in_the_file_is_told_by_file_and_key() -> None:
    said = refusal(file="[kiln]\nsoak = 'x'\n")
    assert "kiln.toml: kiln.soak)" in said


@pytest.mark.parametrize("line", ["count = true", "count = [1]", "title = 7", "trays = 3"])
def test_a_value_of_another_type_in_the_file_is_refused(line: str) -> None:
    assert f"kiln.{line.split(maxsplit=1)[0]} can't be" in refusal(file=f"[kiln]\n{line}\n")


def test_a_list_of_choices_tells_the_choices() -> None:
    assert "a list of matt, gloss;" in refusal({"glazes": ["rough"]})


def test_every_fault_is_told_at_once() -> None:
    said = refusal(
        {"count": 0},
        "[kiln]\nshare = 2\nbogus = 1\n",
        PULLWORK_KILN_HOT="x",
        PULLWORK_KLIN_HOT="1",
    )
    assert len(said.splitlines()) == 5


def test_a_rule_over_several_fields_is_told_with_its_section() -> None:
    assert refusal({"hot": True, "room": 0}) == "[kiln]: hot = true needs room above 0"


def test_an_unknown_key_is_told_with_the_near_match() -> None:
    said = refusal(file="[kiln]\ncuont = 3\n")
    assert "[kiln] has no key 'cuont' (did you mean count?)" in said
    assert "pullwork config" in said


def test_an_unknown_section_is_told_with_the_near_match() -> None:
    said = refusal(file="[klin]\ncount = 3\n")
    assert "there is no section [klin] (did you mean kiln?)" in said


def test_a_key_outside_all_sections_is_refused() -> None:
    assert "'count' stands outside of all sections; write it" in refusal(file="count = 3\n")
    assert "kiln is a section" in refusal(file="kiln = 3\n")


def test_an_unknown_variable_is_told_with_the_near_match() -> None:
    said = refusal(PULLWORK_KILN_CUONT="3")
    assert "PULLWORK_KILN_CUONT is no variable of Pullwork" in said
    assert "did you mean PULLWORK_KILN_COUNT?" in said


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"gone\.toml can't be read: No such file"):
        load(KilnSettings, {}, Path("gone.toml"), {})
    with pytest.raises(SettingsError, match="PULLWORK_CONFIG"):
        load(KilnSettings, {}, None, {"PULLWORK_CONFIG": "gone.toml"})


@pytest.mark.parametrize("content", [b"[kiln\n", b"count 3", b"\xff\xfe"])
def test_a_file_that_is_no_toml_is_refused(content: bytes) -> None:
    path = Path("bad.toml")
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"bad\.toml is not valid TOML"):
        load(KilnSettings, {}, path, {})


def test_variables_that_an_orchestrator_makes_are_passed_over() -> None:
    environ = {
        "PULLWORK_SERVICE_HOST": "10.0.0.1",
        "PULLWORK_PORT": "tcp://10.0.0.1:7733",
        "PULLWORK_MASTER_SERVICE_PORT_GRPC": "7733",
        "PULLWORK_MASTER_PORT_7733_TCP_ADDR": "10.0.0.1",
    }
    assert load(KilnSettings, environ=environ) == KilnSettings()


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group="pullwork.settings")


def known(**entries: str) -> Known:
    return Known(KilnSettings, lambda: {name: entry(name, v) for name, v in entries.items()})


def test_another_section_s_variables_and_keys_are_no_strangers() -> None:
    sections = known(barn=f"{__name__}:BarnSettings")
    assert sections.unknown_variables({"PULLWORK_BARN_DOORS": "2"}) == []
    assert sections.unknown_keys({"barn": {"doors": 2}}, "f") == []
    [said] = sections.unknown_variables({"PULLWORK_BARN_DOOR": "2"})
    assert "did you mean PULLWORK_BARN_DOORS?" in said
    [said] = sections.unknown_keys({"barn": {"door": 2}}, "f")
    assert "did you mean doors?" in said


def test_a_section_that_does_not_import_is_no_reason_to_refuse_its_names() -> None:
    sections = known(ruin="no_such_module:Settings")
    assert sections.unknown_variables({"PULLWORK_RUIN_WALL": "2"}) == []
    assert sections.unknown_keys({"ruin": {"wall": 2}}, "f") == []
    assert len(sections.unknown_variables({"PULLWORK_RUINED": "2"})) == 1


def test_a_whole_file_is_checked_for_every_section() -> None:
    check_file(toml("[client]\naddress = 'a:1'\n"))
    with pytest.raises(SettingsError) as caught:
        check_file(toml("[client]\naddress = 'a'\n[nobody]\nx = 1\n"))
    assert "client.address" in str(caught.value)
    assert "[nobody]" in str(caught.value)


def test_a_section_can_t_be_changed_after_it_was_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(KilnSettings, environ={}).count = 9
