"""The benchmark works, and what it shows is what it measured. No test looks at a time."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest
from bench.chart import panels, picture
from bench.figure import Figure, Rounds, share
from bench.peers import gearman_wire
from bench.peers.bars import BARS, ratio, rows
from bench.peers.contest import OURS
from bench.process import BenchError, Process, wait_until
from bench.report import markdown

ROOT = Path(__file__).parents[2]


def run(module: str, *arguments: str) -> str:
    """Runs a benchmark as `make` does and returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "benchmarks"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_section_measures_right_results_and_is_written_down(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("bench", "--quick", "--folder", str(tmp_path), "--out", str(out))
    page = (out / "results.md").read_text()
    for title in ("Throughput", "Latency", "Throughput as", "The storage", "The floors"):
        assert re.search(f"^## {title}", page, re.MULTILINE)
    assert len(re.findall(r"^\| .*\d.* \|$", page, re.MULTILINE)) > 30
    assert ElementTree.parse(out / "results.svg").getroot().tag.endswith("svg")
    assert [it.name for it in tmp_path.iterdir()] == ["out"], "data folders are left behind"


def test_a_peer_that_is_absent_is_passed_over_with_a_remedy(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    out = tmp_path / "out"
    about = ("--quick", "--venv", nowhere, "--folder", str(tmp_path), "--out", str(out))
    said = run("bench.peers", *about)
    assert "Celery, Redis is passed over" in said
    assert "remedy: make bench-peers" in said
    assert "not measured" in (out / "peers.md").read_text()


def test_a_terminated_benchmark_leaves_nothing_behind(tmp_path: Path) -> None:
    running = Process(
        "bench",
        [sys.executable, "-m", "bench", "--only", "latency", "--folder", str(tmp_path)],
        tmp_path,
        {"PYTHONPATH": str(ROOT / "benchmarks")},
    )
    try:
        top = psutil.Process(running.pid)
        wait_until(lambda: len(top.children()) >= 4, "master, workers and client run", running)
        started = top.children(recursive=True)
        top.terminate()
        assert running.wait() == 128 + signal.SIGTERM
        assert not [it for it in started if it.is_running() and it.status() != "zombie"]
    finally:
        running.stop()


def test_no_section_is_chosen_by_a_wrong_name() -> None:
    with pytest.raises(AssertionError, match="no section is called speed; there are: throughput"):
        run("bench", "--only", "speed")


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("print('{\"wrong\": 3}')", "3 results are missing or wrong"),
        ("import sys; sys.exit('no such master')", "no such master"),
    ],
)
def test_a_client_with_a_wrong_result_or_none_stops_the_benchmark(
    tmp_path: Path, program: str, reason: str
) -> None:
    client = Process("client", [sys.executable, "-c", program], tmp_path, talks=True)
    try:
        with pytest.raises(BenchError, match=reason):
            client.answer()
    finally:
        client.stop()


def test_a_figure_is_the_median_of_its_rounds() -> None:
    rounds = Rounds()
    for value in (30.0, 10.0, 20.0):
        rounds.add("map", "tasks/s", value)
    assert [it.median for it in rounds.figures()] == [20]
    assert "| map  |     20 | tasks/s |         10 .. 30 |" in markdown(rounds.figures())


def test_a_share_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1000, 0, -1)]
    assert share(values, 50) == 501
    assert share(values, 99) == 991
    assert share([7.0], 99) == 7


def test_a_picture_shows_every_figure_and_parts_of_one_in_one_bar() -> None:
    figures = [
        Figure("a < b", "tasks/s", (1.0, 3.0, 2.0)),
        Figure("map", "CPU s", (0.2,), "master"),
        Figure("map", "CPU s", (0.1,), "client"),
    ]
    drawn = ElementTree.fromstring(picture("Results", list(panels("Results", figures))))
    texts = [it.text for it in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a < b", "2", "map", "0.3", "master", "client"} <= set(texts)
    assert texts.count("map") == 1


def test_a_ratio_is_taken_round_by_round() -> None:
    bar = BARS[0]
    ours = Figure(OURS, bar.unit, (10.0, 20.0, 40.0))
    theirs = Figure(bar.to, bar.unit, (10.0, 10.0, 10.0))
    measured = ratio(bar, [ours, theirs])
    assert measured is not None
    assert measured.values == (1, 2, 4)
    assert rows([ours, theirs])[1] == (bar.what, "≥ 1", "2", "2", "1 .. 4", "holds")
    assert rows([theirs, ours])[2][-1] == "not measured"


def test_packets_of_gearman_are_read_wherever_they_are_cut() -> None:
    sent = gearman_wire.packet(gearman_wire.SUBMIT_JOB, b"bench", b"", b"1") * 2
    whole = [(gearman_wire.SUBMIT_JOB, b"bench\0\x001")]
    for cut in range(1, len(sent)):
        left, first = gearman_wire.divided(sent[:cut])
        rest, second = gearman_wire.divided(left + sent[cut:])
        assert (first + second, rest) == (whole * 2, b"")
