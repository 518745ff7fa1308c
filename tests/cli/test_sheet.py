"""Tables fit the terminal, and ids are never cut."""

from __future__ import annotations

import io
import uuid

import pytest
from rich.console import Console

from pullwork.cli.printable import printable
from pullwork.cli.sheet import Column, Sheet

ID = str(uuid.uuid4())


def printed(width: int) -> list[str]:
    sheet = Sheet(
        Column("ID", whole=True),
        Column("TRY", rank=2, whole=True, right=True),
        Column("TYPE", rank=1),
        Column("NEWS"),
    )
    sheet.add(ID, "1", "text.count_words", "[red]a long story\nthat goes on and on and on[/]")
    out = io.StringIO()
    sheet.print(Console(file=out, width=width, color_system=None))
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("width", range(50, 120))
def test_a_table_fits_its_terminal_and_keeps_ids_whole(width: int) -> None:
    lines = printed(width)
    assert len(lines) == 2
    assert ID in lines[1]
    assert max(map(len, lines)) <= width


def test_a_task_s_words_can_t_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\x9b\rc\td\n") == "a\\x1b[2Jb\\x9b\\x0dc\td\n"
    sheet = Sheet(Column("NEWS"))
    sheet.add("\x1b]0;title\x07")
    out = io.StringIO()
    sheet.print(Console(file=out, width=80, color_system=None))
    assert "\x1b" not in out.getvalue()


def test_what_has_room_is_shown_whole() -> None:
    row = printed(200)[1]
    assert row.endswith("text.count_words  a long story that goes on and on and on")


def test_the_least_important_columns_are_left_out_first() -> None:
    assert "TRY" in printed(80)[0]
    assert printed(64)[0].split() == ["ID", "TYPE", "NEWS"]
    assert printed(52)[0].split() == ["ID", "NEWS"]


def test_an_id_passes_the_edge_rather_than_being_cut() -> None:
    assert ID in printed(20)[1]
