"""Every command against a real master and worker: what it says, and how it ends."""

from __future__ import annotations

import base64
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_world import MAIN, Result, until

from pullwork.cli.complete import complete_queue, complete_type

Pullwork = Callable[..., Result]
NOBODY = "0190b6a0-0000-7000-8000-000000000000"


def submitted(pullwork: Pullwork, *arguments: str) -> str:
    result = pullwork("submit", *arguments)
    assert (result.code, result.err) == (0, "")
    return str(uuid.UUID(result.out.strip()))


def a_queue() -> str:
    return f"q{uuid.uuid4().hex}"


# --- submit, run


def test_submit_prints_the_id_alone_and_get_shows_the_task(pullwork: Pullwork) -> None:
    task_id = submitted(
        pullwork,
        *("nobody.knows", "path=a.txt", "n=3", 'deep={"x": [1]}', "-p", "5", "--owner", "me"),
        *("--header", "a=b", "--execution-timeout", "30s", "--max-attempts", "4"),
        *("--initial-backoff", "500ms", "--retention", "1h", "--unique-key", "k"),
    )
    task = pullwork("get", task_id, "--json").json
    assert task["payload"]["json"] == {"path": "a.txt", "n": 3, "deep": {"x": [1]}}
    assert (task["priority"], task["owner"], task["headers"]) == (5, "me", {"a": "b"})
    assert (task["timeout"], task["retention"], task["unique_key"]) == (30.0, 3600.0, "k")
    assert task["retry"]["max_attempts"] == 4
    assert task["retry"]["initial_backoff"] == 0.5
    shown = pullwork("get", task_id).out
    assert task_id in shown
    assert "nobody.knows" in shown


def test_the_payload_comes_from_text_file_or_stdin(pullwork: Pullwork, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"a": 1}')
    ways = [
        pullwork("submit", "t", '{"a": 1}'),
        pullwork("submit", "t", f"@{tmp_path / 'p.json'}"),
        pullwork("submit", "t", "-", stdin='{"a": 1}'),
        pullwork("submit", "t", "a=1"),
    ]
    payloads = [pullwork("get", way.out.strip(), "--json").json["payload"] for way in ways]
    assert [payload["json"] for payload in payloads] == [{"a": 1}] * 4


def test_a_repeated_submission_is_told_as_such(pullwork: Pullwork) -> None:
    task_id = str(uuid.uuid4())
    first = pullwork("submit", "t", "--id", task_id, "--owner", "me", "--json").json
    assert first == {"id": task_id, "duplicate": False}
    again = pullwork("submit", "t", "--id", task_id, "--owner", "me")
    assert (again.code, again.out.strip()) == (0, task_id)
    assert "was there already" in again.err
    other = pullwork("submit", "t", "x=1", "--id", task_id, "--owner", "me")
    assert other.code == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["t", "{bad"], "not JSON"),
        (["t", "[1]"], "no object"),
        (["t", "3"], "no object"),
        (["t", "{}", "{}"], "one payload too many"),
        (["t", '{"a": 1}', "a=2"], "given twice"),
        (["t", "@/no/such/file"], "can't be read"),
        (["t", "a=1", "--content-type", "text/plain"], "name=value makes JSON"),
        (["a!b"], "type"),
        (["t", "--queue", "no spaces"], "queue"),
        (["t", "--priority", "999"], "priority"),
        (["t", "--priority", "99999999999"], "priority can't be 99999999999"),
        (["t", "--limit-key", "\udcff"], "limit_key can't be"),
        (["t", "--delay", "soon"], "--delay"),
        (["t", "--header", "x"], "--header"),
        (["t", "--id", "7"], "UUID"),
        (["t", "--max-attempts", "0"], "max_attempts"),
        (["t", "--delay", "1s", "--not-before", "2030-01-01T00:00:00"], "not both"),
    ],
)
def test_bad_input_is_refused_with_a_reason(
    pullwork: Pullwork, arguments: list[str], said: str
) -> None:
    result = pullwork("submit", *arguments)
    assert result.code == 2
    assert said in result.err
    assert result.out == ""
    assert "Traceback" not in result.err


def test_run_prints_the_result(pullwork: Pullwork, worker: str) -> None:
    result = pullwork("run", "cli.add", "a=2", "b=3")
    assert (result.code, result.out) == (0, "5\n")


def test_run_sends_and_prints_bytes_as_they_are(pullwork: Pullwork, worker: str) -> None:
    binary = "application/octet-stream"
    result = pullwork("run", "cli.reverse", "-", "--content-type", binary, stdin=b"abc")
    assert (result.code, result.out) == (0, "cba")
    task = pullwork("run", "cli.reverse", "-", "--content-type", binary, "--json", stdin=b"abc")
    assert base64.b64decode(task.json["result"]["base64"]) == b"cba"


def test_run_of_a_task_that_fails_ends_with_1_and_the_reason(
    pullwork: Pullwork, worker: str
) -> None:
    result = pullwork("run", "cli.fail", "reason=no [milk]")
    assert result.code == 1
    assert "no [milk]" in result.err
    assert result.out == ""
    shown = pullwork("list", "--type", "cli.fail", "--state", "failed").out
    assert "no [milk]" in shown


def test_run_gives_up_after_its_timeout_and_the_task_goes_on(pullwork: Pullwork) -> None:
    result = pullwork("run", "nobody.knows", "--timeout", "50ms")
    assert result.code == 7
    assert "pullwork wait" in result.err


# --- get, list, explain


def test_what_does_not_exist_ends_with_3(pullwork: Pullwork) -> None:
    for command in ("get", "explain", "cancel", "retry", "wait", "watch"):
        result = pullwork(command, NOBODY)
        assert (command, result.code) == (command, 3)
        assert NOBODY in result.err
    for arguments in (["drain", "nobody"], ["evict", "nobody"], ["queues", "pause", "nobody"]):
        assert pullwork(*arguments).code == 3


def test_an_id_that_is_none_ends_with_2(pullwork: Pullwork) -> None:
    for command in ("get", "explain", "cancel", "retry", "wait", "watch"):
        result = pullwork(command, "seven")
        assert (command, result.code) == (command, 2)
        assert "seven" in result.err


def test_list_filters_and_says_when_there_are_more(pullwork: Pullwork) -> None:
    queue = a_queue()
    ids = [submitted(pullwork, "t.a", "--queue", queue, "--owner", "me") for _ in range(3)]
    later = submitted(pullwork, "t.b", "--queue", queue, "--delay", "1h")
    found = pullwork("list", "--queue", queue, "--json").json
    assert [task["id"] for task in found] == [later, *reversed(ids)]
    assert len(pullwork("list", "--queue", queue, "--type", "t.b", "--json").json) == 1
    assert len(pullwork("list", "--queue", queue, "--owner", "me", "--json").json) == 3
    assert len(pullwork("list", "--queue", queue, "-s", "SCHEDULED", "--json").json) == 1
    page = pullwork("list", "--queue", queue, "--limit", "2", "--json")
    assert len(page.json) == 2
    assert "there are more" in page.err
    table = pullwork("list", "--queue", queue)
    assert all(task_id in table.out for task_id in [*ids, later])
    assert "more" not in table.err


def test_a_list_of_nothing_is_said_and_is_empty_json(pullwork: Pullwork) -> None:
    assert "no task matches" in pullwork("list", "--queue", a_queue()).err
    assert pullwork("list", "--queue", a_queue(), "--json").json == []


def test_explain_says_why_in_one_sentence(pullwork: Pullwork) -> None:
    task_id = submitted(pullwork, "nobody.knows", "--queue", a_queue())
    result = pullwork("explain", task_id)
    assert len(result.out.splitlines()) == 1
    assert pullwork("explain", task_id, "--json").json["reason"] == "NO_WORKER"


# --- watch, wait


def test_wait_counts_ends_and_fails_if_one_failed(pullwork: Pullwork, worker: str) -> None:
    good = submitted(pullwork, "cli.add", "a=1")
    assert pullwork("wait", good).code == 0
    bad = submitted(pullwork, "cli.fail", "reason=x")
    result = pullwork("wait", good, bad)
    assert result.code == 1
    assert "1 of 2 succeeded, 1 failed or were cancelled" in result.err
    ends = pullwork("wait", good, bad, "--json").lines
    assert {end["id"]: end["state"] for end in ends} == {good: "SUCCEEDED", bad: "FAILED"}


def test_wait_for_an_owner_or_queue_waits_for_what_is_there(
    pullwork: Pullwork, worker: str
) -> None:
    owner = f"owner-{uuid.uuid4()}"
    for _ in range(3):
        submitted(pullwork, "cli.add", "a=1", "--owner", owner, "--delay", "200ms")
    result = pullwork("wait", "--owner", owner)
    assert result.code == 0
    assert re.search(r"\d of \d succeeded", result.err)
    again = pullwork("wait", "--owner", owner)
    assert (again.code, again.err) == (0, "pullwork: nothing to wait for\n")


def test_wait_gives_up_after_its_timeout(pullwork: Pullwork) -> None:
    queue = a_queue()
    task_id = submitted(pullwork, "nobody.knows", "--queue", queue)
    assert pullwork("wait", task_id, "--timeout", "50ms").code == 7
    assert pullwork("wait", "--queue", queue, "--timeout", "50ms").code == 7


def test_watch_and_wait_want_to_know_what(pullwork: Pullwork) -> None:
    assert pullwork("watch").code == 2
    assert pullwork("wait").code == 2
    assert pullwork("wait", "--owner", "a", "--queue", "b").code == 2


def test_watch_tells_ends_and_a_cursor(pullwork: Pullwork, worker: str) -> None:
    ids = [submitted(pullwork, "cli.add", f"a={n}") for n in range(3)]
    told = pullwork("watch", *ids, "--json").lines
    assert {line["task"]["id"] for line in told} == set(ids)
    assert all("cursor" in line for line in told)
    assert all(task_id in pullwork("watch", *ids).out for task_id in ids)


# --- cancel, retry


def test_cancel_by_id_and_again_and_with_skip_ended(pullwork: Pullwork) -> None:
    task_id = submitted(pullwork, "nobody.knows")
    assert pullwork("cancel", task_id).out == "1 task cancelled\n"
    assert pullwork("cancel", task_id).code == 5
    assert pullwork("cancel", task_id, "--skip-ended", "--json").json == {"cancelled": 0}


def test_cancel_stops_a_running_task(pullwork: Pullwork, worker: str) -> None:
    task_id = submitted(pullwork, "cli.hang")
    until(lambda: pullwork("get", task_id, "--json").json["state"] == "RUNNING", "it runs")
    assert pullwork("cancel", task_id).code == 0
    assert pullwork("wait", task_id).code == 1


def test_a_bulk_change_asks_first(pullwork: Pullwork) -> None:
    queue = a_queue()
    for _ in range(2):
        submitted(pullwork, "nobody.knows", "--queue", queue)
    refused = pullwork("cancel", "--queue", queue)
    assert refused.code == 2
    assert "--yes" in refused.err
    assert pullwork("cancel", "--queue", queue, "--yes").out == "2 tasks cancelled\n"
    assert pullwork("retry", "--queue", queue).code == 2
    assert pullwork("retry", "--queue", queue, "-s", "cancelled", "--yes", "--json").json == {
        "retried": 2
    }
    purge = pullwork("queues", "purge", queue)
    assert purge.code == 2
    assert pullwork("queues", "purge", queue, "--yes").out == "2 tasks cancelled\n"


def test_which_tasks_must_be_said_in_one_way(pullwork: Pullwork) -> None:
    for command in ("cancel", "retry"):
        assert pullwork(command).code == 2
        assert pullwork(command, NOBODY, "--queue", "q").code == 2
        assert pullwork(command, "--all", "--queue", "q").code == 2


def test_retry_puts_a_failed_task_back(pullwork: Pullwork, worker: str) -> None:
    task_id = submitted(pullwork, "cli.fail", "reason=x")
    assert pullwork("wait", task_id).code == 1
    assert pullwork("retry", task_id).out == "1 task retried\n"
    assert pullwork("wait", task_id).code == 1
    assert pullwork("get", task_id, "--json").json["attempt"] == 2


def test_retry_of_a_waiting_task_is_refused(pullwork: Pullwork) -> None:
    assert pullwork("retry", submitted(pullwork, "nobody.knows")).code == 5


# --- queues, nodes


def test_a_queue_is_listed_paused_and_resumed(pullwork: Pullwork) -> None:
    queue = a_queue()
    submitted(pullwork, "nobody.knows", "--queue", queue)
    assert pullwork("queues", "pause", queue).out.startswith(f"{queue} is paused: 1 wait")
    [found] = [it for it in pullwork("queues", "--json").json if it["name"] == queue]
    assert found["paused"]
    assert "paused" in pullwork("queues", "list").out
    assert not pullwork("queues", "resume", queue, "--json").json["paused"]


def test_limits_of_a_queue_are_set_one_by_one_and_shown(pullwork: Pullwork) -> None:
    queue = a_queue()
    said = pullwork("queues", "limit", queue, "--concurrency", "4", "--rate", "300/m").out
    assert said == f"{queue}: 0 of 4 run; 5/s (5 may start now)\n"
    said = pullwork("queues", "limit", queue, "--rate-per-key", "30/m", "--burst-per-key", "2").out
    assert said.endswith("0 of 4 run; 5/s (5 may start now); 30/m, 2 in a burst per key\n")
    assert pullwork("queues", "limit", queue).out == said
    assert "0 of 4 run; 5/s" in pullwork("queues").out
    found = pullwork("queues", "limit", queue, "--concurrency", "0", "--json").json["limits"]
    assert (found["concurrency"], found["rate"], found["rate_per_key"]) == (0, 5.0, 0.5)
    assert pullwork("queues", "limit", queue, "--clear").out == f"{queue}: no limits\n"


def test_a_limit_that_makes_no_sense_is_refused_by_name(pullwork: Pullwork) -> None:
    for arguments, words in (
        (["--rate", "often"], "--rate can't be 'often'"),
        (["--rate", "5/d"], "--rate can't be '5/d'"),
        (["--burst", "3"], "set limits.rate, too"),
        (["--rate", "1e9"], "limits.rate is 1e+09 a second"),
        (["--burst", "5000000000"], "limits.burst is 5000000000; it must be a whole number from 0"),
    ):
        refused = pullwork("queues", "limit", "new", *arguments)
        assert refused.code
        assert words in refused.err


def test_a_limit_key_is_shown_and_names_the_limit_that_holds_its_task(pullwork: Pullwork) -> None:
    task_id = submitted(pullwork, "nobody.knows", "--limit-key", "customer-7")
    assert "customer-7" in pullwork("get", task_id).out


def test_ctrl_c_while_a_task_runs_tells_that_the_task_goes_on(
    pullwork: Pullwork, address: str
) -> None:
    queue = a_queue()
    running = ["run", "nobody.knows", "--queue", queue, "--address", address]
    program = subprocess.Popen(
        [sys.executable, "-c", MAIN, *running], stderr=subprocess.PIPE, text=True
    )
    try:
        [task] = until(lambda: pullwork("list", "-q", queue, "--json").json, "it is submitted")
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=20)
    finally:
        program.kill()
    assert program.returncode == 130
    assert f"task {task['id']} goes on; `pullwork cancel {task['id']}` ends it" in said
    assert pullwork("get", task["id"], "--json").json["state"] == "QUEUED"


def test_names_of_queues_and_types_are_completed(pullwork: Pullwork) -> None:
    queue = a_queue()
    submitted(pullwork, "odd.type", "--queue", queue)
    assert complete_queue(queue[:8]) == [queue]
    assert complete_type("odd.") == ["odd.type"]
    assert complete_queue("no such") == []


def test_workers_and_members_are_listed(pullwork: Pullwork, address: str, worker: str) -> None:
    [found] = pullwork("workers", "--json").json
    assert (found["name"], found["slots"]) == (worker, 4)
    table = pullwork("workers").out
    assert found["session_id"] in table
    assert pullwork("workers", "--queue", "none").err.startswith("pullwork: no worker matches")
    members = pullwork("members", "--json").json
    assert [member["role"] for member in members] == ["MASTER", "WORKER"]
    assert members[0]["address"] == address
    assert address in pullwork("members").out


def test_an_evicted_worker_comes_back_and_a_drained_one_leaves(
    pullwork: Pullwork, worker: str
) -> None:
    [before] = pullwork("workers", "--json").json
    assert pullwork("evict", worker, "--json").json == {"requeued": 0}

    def sessions() -> list[str]:
        return [it["session_id"] for it in pullwork("workers", "--json").json]

    until(lambda: sessions() not in ([], [before["session_id"]]), "it registers anew")
    assert pullwork("drain", worker).out.startswith(f"{worker} (")
    until(lambda: sessions() == [], "it leaves")
