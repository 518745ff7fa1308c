"""Scenes about tickets: run, repeated, taken back, impossible, and finished before it leaves."""

from __future__ import annotations

import asyncio
from typing import Final

from pullwork.conformance.issued import Issued
from pullwork.conformance.scene import Scene
from pullwork.conformance.scenes_of_contact import let_go
from pullwork.conformance.stage import LONG_S, REACT_S, Stage
from pullwork.conformance.watch import now
from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1.task_pb2 import FAILURE_KIND_REJECTED, FAILURE_KIND_TIMEOUT, FailureKind
from pullwork.v1.worker_pb2 import Ticket


async def plain(stage: Stage) -> None:
    """Some work, and more than there are slots for."""
    session = await stage.begin()
    tickets = [stage.master.put(stage.work(0.1, 10)) for _ in range(session.request.slots + 4)]
    await stage.given(stage.work(), "result")
    await stage.must(lambda: all(it.settled() for it in tickets), "result", "did not report all")
    wrong = [it for it in tickets if it.outcomes[0].WhichOneof("outcome") != "success"]
    texts = {it.outcomes[0].success.data for it in tickets if it not in wrong}
    if wrong:
        stage.findings.broken("result", f"reported {_told(wrong[0])}")
    elif texts != {b'"xxxxxxxxxx"'}:
        stage.findings.broken("result", f"returned {min(texts)[:40]!r} for a text of ten x")
    else:
        stage.findings.passed("result", f"{len(tickets)} of {len(tickets)} succeeded")
    # What is reported twice is so soon.
    await asyncio.sleep(1.0)
    stage.findings.passed("report-once", f"{len(tickets)} verdicts, nothing came twice")


async def lost_request(stage: Stage) -> None:
    """The answer that brings a ticket gets lost."""
    await stage.begin()
    stage.master.lose["RequestTask"] = 1
    began_at = now()
    issued = stage.master.put(stage.work())
    await stage.must(
        lambda: stage.master.lose["RequestTask"] == 0, "request-id", "did not ask for work", 30.0
    )
    lost = stage.master.calls_of("RequestTask")
    await stage.must(
        lambda: issued.given_at or len(stage.master.calls_of("RequestTask")) > len(lost) + 3,
        "request-id",
        "did not ask again under the same id",
    )
    again = stage.master.calls_of("RequestTask", began_at)[-1].request
    assert isinstance(again, pb.RequestTaskRequest)
    if issued.given_at is None:
        stage.findings.broken("request-id", f"asked again under {again.request_id!r}, another id")
        return
    await stage.must(issued.settled, "request-id", "did not report what came at last")
    stage.findings.passed("request-id", "asked again under the same id, and ran what came")


async def lost_report(stage: Stage) -> None:
    """The answer to a report gets lost, and with it the next ticket."""
    session = await stage.begin()
    stage.master.lose["ReportResult"] = 1
    first = await stage.given(stage.work(0.5), "report-repeat")
    others = [
        await stage.given(stage.work(LONG_S), "report-repeat")
        for _ in range(session.request.slots - 1)
    ]
    second = stage.master.put(stage.work())
    await stage.must(first.settled, "report-repeat", "did not report again")
    await stage.must(second.settled, "report-repeat", "did not get the next ticket")
    stage.findings.passed(
        "report-repeat", f"reported {len(first.outcomes)} times, the same each time"
    )
    del others


async def taken_back(stage: Stage) -> None:
    """Two tickets are worth nothing any more: one is told by a heartbeat, one by an event."""
    await stage.begin()
    for rule in ("abandon", "cancel"):
        issued = await stage.taken(stage.work(LONG_S), rule)
        token = issued.ticket.lease_token
        if rule == "abandon":
            stage.master.abandon.append(token)
        else:
            cancel = pb.TaskIncomingResponse.Cancel(lease_tokens=[token], reason="cancelled")
            stage.master.say(pb.TaskIncomingResponse(cancel=cancel))
        issued.let_go_rule, issued.let_go_at = rule, now()
        await stage.heard("Heartbeat", 1, rule)
        await let_go(stage, issued, rule)
        session = stage.master.session
        slots = 1 if session is None else session.request.slots
        after = [await stage.given(stage.work(), rule) for _ in range(slots)]
        for it in after:
            await stage.must(it.settled, rule, "its slot did not come free")


async def failures(stage: Stage) -> None:
    """What can't become a success: each is told as a failure, and the worker works on."""
    await stage.begin()
    work = stage.work
    unknown = Ticket(task_id=work().task_id, type="conformance.unknown", payload=b"{}")
    garbage = work()
    garbage.payload = b"\xff{"
    endless = work(LONG_S)
    endless.execution_timeout.FromMilliseconds(500)
    large = work(0.0, 2 * stage.master.terms.payload_bytes_max)
    for rule, ticket in (
        ("unknown-type", unknown),
        ("bad-payload", garbage),
        ("oversize-result", large),
        ("timeout", endless),
    ):
        issued = await stage.given(ticket, rule)
        await stage.must(issued.reported, rule, "did not report it", 2 * REACT_S)
        _judge_failure(stage, rule, issued)
    last = await stage.given(work(), "result")
    await stage.must(last.settled, "result", "did not work on after failures")


def _judge_failure(stage: Stage, rule: str, issued: Issued) -> None:
    outcome = issued.outcomes[0]
    kinds = {"bad-payload": FAILURE_KIND_REJECTED, "timeout": FAILURE_KIND_TIMEOUT}
    wanted = kinds.get(rule)
    failed = outcome.WhichOneof("outcome") == "failure"
    if not failed or (wanted is not None and outcome.failure.kind != wanted):
        stage.findings.broken(rule, f"reported {_told(issued)}")
    else:
        stage.findings.passed(rule, _told(issued))


def _told(issued: Issued) -> str:
    outcome = issued.outcomes[0]
    kind = outcome.WhichOneof("outcome")
    if kind != "failure":
        return f"a {kind}"
    failure = outcome.failure
    return f"{FailureKind.Name(failure.kind)}: {failure.message[:80]}"


async def _leaves(stage: Stage, rule: str) -> None:
    """Has it told to leave while a ticket runs; it finishes that and takes no other."""
    await stage.begin()
    running = await stage.taken(stage.work(3.0), rule)
    if rule == "sigterm":
        stage.program.terminate()
    elif rule == "drain-heartbeat":
        stage.master.drain = True
        await stage.heard("Heartbeat", 2, rule)
    else:
        stage.master.say(pb.TaskIncomingResponse(drain=pb.TaskIncomingResponse.Drain()))
    # What it had asked for before may still come; so nothing is laid out for a moment.
    await asyncio.sleep(0.5)
    told_at = now()
    left_over = stage.master.put(stage.work())
    code = await stage.program.ended(3 * REACT_S)
    if code is None:
        stage.findings.broken(rule, f"it still runs {3 * REACT_S:g} s later")
    elif not running.verdict_at:
        stage.findings.broken(rule, "it left without reporting what ran")
    elif left_over.given_at is not None:
        stage.findings.broken(rule, "it took another ticket")
    elif not stage.master.calls_of("Deregister", told_at):
        stage.findings.broken(rule, "it left without Deregister")
    elif code != 0:
        stage.findings.broken(rule, f"it exited with {code}")
    else:
        stage.findings.passed(rule, f"finished, deregistered, exited after {now() - told_at:.1f} s")


async def drain_event(stage: Stage) -> None:
    """An operator drains it, and the stream says so."""
    await _leaves(stage, "drain-event")


async def drain_heartbeat(stage: Stage) -> None:
    """An operator drains it, and only a heartbeat's answer says so."""
    await _leaves(stage, "drain-heartbeat")


async def sigterm(stage: Stage) -> None:
    """An orchestrator stops it."""
    await _leaves(stage, "sigterm")


SCENES: Final = (
    Scene("plain", ("result", "report-once", "credit", "inventory", "tokens"), plain),
    Scene("lost request", ("request-id",), lost_request),
    Scene("lost report", ("report-repeat",), lost_report),
    Scene("taken back", ("abandon", "cancel"), taken_back),
    Scene("failures", ("unknown-type", "bad-payload", "oversize-result", "timeout"), failures),
    Scene("drain event", ("drain-event",), drain_event),
    Scene("drain heartbeat", ("drain-heartbeat",), drain_heartbeat),
    Scene("sigterm", ("sigterm",), sigterm),
)
