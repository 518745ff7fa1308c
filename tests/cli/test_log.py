"""One record is one line, its extra fields are kept, and a stranger to both is refused."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from pullwork import log
from pullwork.errors import SettingsError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def written(out: io.StringIO) -> dict[str, object]:
    [line] = out.getvalue().splitlines()
    document: dict[str, object] = json.loads(line)
    return document


def test_a_record_is_one_json_object_with_its_extra_fields() -> None:
    out = io.StringIO()
    log.setup("info", "auto", out)
    logging.getLogger("a.b").warning("lost %s\nagain", "w1", extra={"held": 3, "level": "mine"})
    document = written(out)
    assert document["message"] == "lost w1\nagain"
    assert (document["level"], document["level_"], document["held"]) == ("warning", "mine", 3)
    assert document["logger"] == "a.b"
    assert str(document["time"]).endswith("+00:00")


def test_what_json_can_t_write_becomes_text() -> None:
    out = io.StringIO()
    log.setup("info", "json", out)
    logging.getLogger("a").info("x", extra={"thing": {1}})
    assert written(out)["thing"] == "{1}"


def test_an_exception_stays_within_its_record() -> None:
    out = io.StringIO()
    log.setup("info", "json", out)
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        logging.getLogger("a").exception("failed")
    assert "RuntimeError: boom" in str(written(out)["traceback"])


def test_a_terminal_gets_lines_for_people() -> None:
    out = Terminal()
    log.setup("info", "auto", out)
    logging.getLogger("a").info("ready\nset", extra={"port": 7})
    [line] = out.getvalue().splitlines()
    assert line.endswith("INFO    a: ready\\nset  port=7")


def test_json_can_be_asked_for_on_a_terminal_and_lines_without_one() -> None:
    out: io.StringIO = Terminal()
    log.setup("info", "json", out)
    logging.getLogger("a").info("x")
    assert written(out)["message"] == "x"
    out = io.StringIO()
    log.setup("info", "human", out)
    logging.getLogger("a").info("x")
    assert out.getvalue().endswith("a: x\n")


def test_what_is_below_the_level_is_not_written() -> None:
    out = io.StringIO()
    log.setup("warning", "json", out)
    logging.getLogger("a").info("x")
    assert out.getvalue() == ""


def test_setting_up_twice_does_not_write_twice() -> None:
    out = io.StringIO()
    log.setup("info", "json", io.StringIO())
    log.setup("info", "json", out)
    logging.getLogger("a").info("x")
    assert written(out)["message"] == "x"


@pytest.mark.parametrize(("level", "form"), [("loud", "auto"), ("info", "xml")])
def test_an_unknown_level_or_format_is_refused(level: str, form: str) -> None:
    with pytest.raises(SettingsError, match="use one of"):
        log.setup(level, form)  # type: ignore[arg-type]


def test_a_reader_who_left_while_he_was_written_to_is_no_error() -> None:
    class ExecuteBatchError(Exception):
        """What gRPC raises then."""

    out = io.StringIO()
    log.setup("info", "json", out)
    for error in (ExecuteBatchError("gone"), ValueError("a bug")):
        try:
            raise error
        except Exception:
            logging.getLogger("grpc._cython.cygrpc").exception("raised in core")
    assert "a bug" in written(out)["traceback"]
