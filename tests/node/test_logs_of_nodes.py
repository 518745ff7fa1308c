"""What a node sends of logs: the last lines, those that come, and no more than asked for."""

from __future__ import annotations

from pathlib import Path

from cluster import until
from node_workers import Workers, python
from stub_master import StubMaster, Task

from pullwork_master.wire.log_relay import MESSAGE_BYTES_MAX
from pullwork_worker.services import shim
from pullwork_worker.services.folder import InstanceFolder
from pullwork_worker.services.logs import SENDS_MAX

TALKS = (
    "import os, time\n"
    "for n in range(1000): print(n)\n"
    "print('x' * 40000, flush=True)\n"
    "while not os.path.exists('go'): time.sleep(0.05)\n"
    "os.write(2, b'\\xff\\nlast\\n'); time.sleep(600)"
)


async def running(master: StubMaster, code: str) -> Task:
    task = master.submit(python(code))
    await until(lambda: master.state(task) == "HEALTHY", "it runs")
    return task


async def test_the_last_lines_come_then_those_that_follow_until_nobody_reads(
    master: StubMaster, workers: Workers
) -> None:
    workers.start()
    task = await running(master, TALKS)
    (folder,) = workers.instance_folders()
    await until(lambda: (folder / "log.0").stat().st_size > 40000, "all was said")
    log_id = master.ask_log(task, tail=5, follow=True)
    await until(lambda: len(master.lines(log_id)) == 5, "the last lines")
    assert master.lines(log_id)[:2] == ["998", "999"]
    # A line that is too long comes in pieces.
    assert [len(it) for it in master.lines(log_id)[2:]] == [16384, 16384, 40000 - 2 * 16384]
    (folder / "work" / "go").touch()
    await until(lambda: master.lines(log_id)[-1] == "last", "what followed")
    lines = [line for it in master.logs[log_id] for line in it.lines]
    assert [(it.text, it.stderr) for it in lines[-2:]] == [("�", True), ("last", True)]
    assert all(it.time.seconds for it in lines)


async def test_a_log_without_following_ends_by_itself(master: StubMaster, workers: Workers) -> None:
    workers.start()
    task = await running(master, TALKS)
    (folder,) = workers.instance_folders()
    await until(lambda: (folder / "log.0").stat().st_size > 40000, "all was said")
    log_id = master.ask_log(task, tail=1003)
    await until(lambda: log_id in master.log_ended, "the log ended")
    assert master.lines(log_id)[:1000] == [str(it) for it in range(1000)]


async def test_what_is_not_there_is_a_problem_in_words(
    master: StubMaster, workers: Workers
) -> None:
    workers.start()
    await until(lambda: master.reports, "a report")
    log_id = master.ask_log(Task("0198c0de-0000-7000-8000-00000000abcd", "", b""))
    await until(lambda: log_id in master.log_ended, "an answer")
    (said,) = master.logs[log_id]
    assert said.problem == "there is no log yet: the instance is not on this node"


async def test_only_so_many_logs_are_sent_at_once(master: StubMaster, workers: Workers) -> None:
    workers.start()
    task = await running(master, "import time; print('up', flush=True); time.sleep(600)")
    ids = [master.ask_log(task, follow=True) for _ in range(SENDS_MAX)]
    await until(lambda: all("up" in master.lines(it) for it in ids), "all are sent")
    log_id = master.ask_log(task, follow=True)
    await until(lambda: log_id in master.log_ended, "an answer")
    assert "sends 32 logs already" in master.logs[log_id][0].problem


def test_a_full_file_becomes_the_older_one_and_lines_are_read_over_both(tmp_path: Path) -> None:
    log = shim.Log(str(tmp_path))
    line = b"y" * 1000
    for number in range(10_000):
        log.take(1, b"%d %s\n" % (number, line))
    log.take(2, b"no end")
    log.take(2, b"")
    log.close()
    sizes = [(tmp_path / name).stat().st_size for name in ("log.0", "log.1")]
    assert max(sizes) <= shim.LOG_FILE_BYTES_MAX
    folder = InstanceFolder(tmp_path)
    lines = folder.last_lines(9_000)
    assert len(lines) == 9_000
    assert [int(it.text.split()[0]) for it in lines[:-1]] == list(range(1001, 10_000))
    assert (lines[-1].text, lines[-1].stderr) == ("no end", True)


async def test_a_message_of_lines_is_never_larger_than_the_master_takes(
    master: StubMaster, workers: Workers
) -> None:
    workers.start()
    code = f"import time\nfor _ in range(150): print('{chr(0x1F600)}' * 4096)\n"
    task = await running(master, f"{code}print('end', flush=True); time.sleep(600)")
    (folder,) = workers.instance_folders()
    await until(lambda: b" end\n" in (folder / "log.0").read_bytes()[-20:], "all was said")
    log_id = master.ask_log(task, tail=151)
    await until(lambda: log_id in master.log_ended, "the log ended")
    assert len(master.lines(log_id)) == 151
    assert max(it.ByteSize() for it in master.logs[log_id]) <= MESSAGE_BYTES_MAX
