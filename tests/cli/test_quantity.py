"""Durations and sizes: what is read, what is refused, and that writing is undone by reading."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullwork.settings import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (0, 0.0),
        (2.5, 2.5),
        ("90", 90.0),
        ("0.5", 0.5),
        ("30s", 30.0),
        (" 5m ", 300.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("500ms", 0.5),
        ("1h30m", 5400.0),
        ("1m 30s", 90.0),
        ("1.5h", 5400.0),
    ],
)
def test_a_duration_is_seconds_or_numbers_with_units(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "5 parsecs",
        "-1",
        "-5s",
        "5S",
        "1h x",
        "1..5s",
        "inf",
        "nan",
        "5s!",
        "1s1",
        True,
        None,
        [],
        math.inf,
        math.nan,
        -0.1,
    ],
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (0, 0),
        ("4096", 4096),
        ("12B", 12),
        ("64MiB", 64 * 2**20),
        ("1.5 GiB", 3 * 2**29),
        ("500kB", 500_000),
        ("2MB", 2_000_000),
    ],
)
def test_a_size_is_bytes_or_a_number_with_a_unit(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1.5", "64mib", "3 XiB", 1.5, True, None, -1])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=10**9))
def test_a_written_duration_reads_back(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds)


@given(st.integers(min_value=0, max_value=2**50))
def test_a_written_size_reads_back(size: int) -> None:
    assert parse_size(format_size(size)) == size
