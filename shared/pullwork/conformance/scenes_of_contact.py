"""Scenes about the session: begun, kept, lost, and taken up again."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Final

from pullwork.conformance.issued import Issued
from pullwork.conformance.scene import Scene
from pullwork.conformance.stage import LONG_S, REACT_S, START_S, SceneOverError, Stage
from pullwork.conformance.watch import now
from pullwork.errors import TooManyRequestsError
from pullwork.v1 import master_service_pb2 as pb

# Field 15, which no event has today.
_UNKNOWN_EVENT: Final = b"\x7a\x05later"


async def arrival(stage: Stage) -> None:
    """The worker is there before its master; then another process of it."""
    first = stage.start()
    code = await first.ended(2.0)
    if code is not None:
        stage.findings.broken("starts-first", f"without a master it exited with {code}")
        raise SceneOverError("it did not wait for its master")
    await stage.open()
    await stage.listening("starts-first", START_S)
    stage.findings.passed("starts-first", "registered when the master came")
    first.kill()
    began_at = now()
    stage.start()
    await stage.must(
        lambda: stage.master.calls_of("Register", began_at), "register", "did not register", START_S
    )
    stage.findings.passed("boot-id", "another process had another one")


async def idle(stage: Stage) -> None:
    """There is no work; hints come all the same, and an event from the future."""
    await stage.begin()
    began_at = now()
    for _ in range(30):
        stage.master.say(_available())
    stage.master.say(pb.TaskIncomingResponse.FromString(_UNKNOWN_EVENT))
    await asyncio.sleep(3.0)
    asked = len(stage.master.calls_of("RequestTask", began_at))
    stage.findings.passed("no-busy-loop", f"asked {asked} times more in 3 s without work")
    session = stage.master.session
    if session is None or session.streams != 1 or session.open is None:
        stage.findings.broken("unknown-event", "its stream did not outlast an event of a new kind")
    else:
        stage.findings.passed("unknown-event", "the stream stayed open")
    _heartbeats_at(stage, began_at, "heartbeat")
    stage.master.terms.heartbeat_s = 1.5
    await asyncio.sleep(1.0)
    began_at = now()
    await asyncio.sleep(4.0)
    beats = len(stage.master.calls_of("Heartbeat", began_at))
    seen = f"{beats} heartbeats in 4 s, told to send one in 1.5 s"
    if 1 <= beats <= 4:
        stage.findings.passed("heartbeat-interval", seen)
    else:
        stage.findings.broken("heartbeat-interval", seen)


def _heartbeats_at(stage: Stage, began_at: float, rule: str) -> None:
    """Judges the gaps between heartbeats since a time."""
    interval_s = stage.master.terms.heartbeat_s
    times = [began_at, *(call.at for call in stage.master.calls_of("Heartbeat", began_at)), now()]
    longest = max(later - sooner for sooner, later in pairwise(times))
    seen = f"{len(times) - 2} in {now() - began_at:.1f} s, {longest:.2f} s apart at most"
    if longest > 2 * interval_s + 0.5:
        stage.findings.broken(rule, f"{seen}; the interval is {interval_s:g} s")
    else:
        stage.findings.passed(rule, seen)


async def busy(stage: Stage) -> None:
    """Every slot works for some seconds; heartbeats go on and list all."""
    session = await stage.begin()
    held = [
        await stage.given(stage.work(3.0), "result") for _ in range(min(session.request.slots, 16))
    ]
    began_at = now()
    await asyncio.sleep(2.5)
    _heartbeats_at(stage, began_at, "heartbeat")
    await stage.must(lambda: all(it.settled() for it in held), "result", "did not report")


async def streams(stage: Stage) -> None:
    """The stream ends again and again, and then it is silent."""
    session = await stage.begin()
    began_at = now()
    for _ in range(3):
        stage.master.break_stream()
        await stage.reopened(session, "stream-reopen", "did not open the stream again", 2 * REACT_S)
    stage.findings.passed("stream-reopen", f"3 times in {now() - began_at:.1f} s")
    stage.master.silent = True
    patience_s = 6 * stage.master.terms.heartbeat_s + REACT_S
    await stage.reopened(session, "silent-master", "left a silent stream open", patience_s)
    stage.findings.passed("silent-master", "opened another stream")


async def lost_session(stage: Stage) -> None:
    """The session is over while two tickets run: one is kept, one is not."""
    session = await stage.begin()
    kept = await stage.taken(stage.work(4.0), "session-lost")
    dropped: Issued | None = None
    if session.request.slots > 1:
        dropped = await stage.taken(stage.work(LONG_S), "session-lost")
        stage.master.not_kept[dropped.ticket.lease_token] = "held-verdict"
    else:
        stage.findings.not_tried("held-verdict", "needs a worker with two slots")
    stage.master.end_session()
    await stage.must(
        lambda: stage.master.session is not None, "session-lost", "did not register anew"
    )
    request = stage.master.calls_of("Register")[-1].request
    assert isinstance(request, pb.RegisterRequest)
    held = {line.lease_token for line in request.held}
    wanted = {it.ticket.lease_token for it in (kept, dropped) if it is not None}
    if not wanted <= held:
        stage.findings.broken("session-lost", f"of {len(wanted)} tickets it said {len(held)}")
    await stage.listening("session-lost")
    await stage.must(kept.settled, "session-lost", "did not finish what it kept")
    stage.findings.passed("session-lost", f"came back with {len(held)} tickets and went on")
    if dropped is not None:
        await let_go(stage, dropped, "held-verdict")
    stage.findings.passed("old-session", "was not used again")


async def let_go(stage: Stage, it: Issued, rule: str) -> None:
    """Waits a little, and looks whether a ticket is still spoken of."""
    await asyncio.sleep(2 * stage.master.terms.heartbeat_s)
    since = now()
    await asyncio.sleep(2 * stage.master.terms.heartbeat_s + 0.2)
    listed = [
        call
        for call in stage.master.calls_of("Heartbeat", since)
        if isinstance(call.request, pb.HeartbeatRequest)
        and it.ticket.lease_token in {line.lease_token for line in call.request.held}
    ]
    if listed:
        stage.findings.broken(rule, "heartbeats go on listing what it was to let go of")
    else:
        stage.findings.passed(rule, "let go of it, and said nothing more of it")


async def name_taken(stage: Stage) -> None:
    """Another worker has its name."""
    session = await stage.begin()
    stage.master.end_session("NAME_TAKEN")
    await stage.must(
        lambda: stage.master.session is not None, "name-taken", "did not register anew"
    )
    again = stage.master.session
    assert again is not None
    name, boot_id = again.request.worker_name, again.request.boot_id
    if name != session.request.worker_name or boot_id[:8] in name:
        stage.findings.passed("name-taken", f"goes on as {name!r}")
    else:
        stage.findings.broken(
            "name-taken", f"registered as {name!r} again: the two would end each other for ever"
        )


async def restart(stage: Stage) -> None:
    """The master dies while a ticket runs, and comes back without sessions."""
    await stage.begin()
    running = await stage.taken(stage.work(3.0), "restart")
    await stage.restart()
    await stage.listening("restart", 2 * REACT_S)
    await stage.must(running.settled, "restart", "did not report what it ran", 2 * REACT_S)
    later = await stage.given(stage.work(), "restart")
    await stage.must(later.settled, "restart", "did not work after the restart")
    stage.findings.passed("restart", "kept its ticket, reported it, and worked on")


async def crowded(stage: Stage) -> None:
    """The master has no room, then room; later it is overloaded for a while."""
    stage.master.refuse["Register"] = TooManyRequestsError(
        "the master keeps at most 10000 sessions", retry_after_s=0.5
    )
    await stage.open()
    stage.start()
    await stage.must(
        lambda: len(stage.master.calls_of("Register")) > 2,
        "backoff",
        "did not try again to register",
        START_S + REACT_S,
    )
    stage.master.refuse.clear()
    await stage.listening("backoff", 2 * REACT_S)
    stage.findings.passed("backoff", "tried again with waits, until it was let in")


async def cut_off(stage: Stage) -> None:
    """Nobody answers for longer than the lease's length."""
    await stage.begin()
    running = await stage.taken(stage.work(LONG_S), "out-of-contact")
    token = running.ticket.lease_token
    stage.master.away = True
    stage.master.break_stream()
    await asyncio.sleep(stage.master.terms.lease_s + 2.0)
    running.let_go_rule, running.let_go_at = "out-of-contact", now()
    stage.master.away = False
    since = now()
    await stage.must(
        lambda: stage.master.calls_of("Heartbeat", since),
        "out-of-contact",
        "was not heard again",
        2 * REACT_S,
    )
    await asyncio.sleep(1.0)
    said = [
        call
        for call in stage.master.calls_of("Heartbeat", since)
        if isinstance(call.request, pb.HeartbeatRequest)
        and token in {line.lease_token for line in call.request.held}
    ]
    if said:
        stage.findings.broken("out-of-contact", "it still ran a ticket that others have by now")
    else:
        stage.findings.passed("out-of-contact", "had stopped it when it was heard again")


async def longer_lease(stage: Stage) -> None:
    """A heartbeat's answer makes the lease longer; then nobody answers for longer than it was."""
    await stage.begin()
    former_s = stage.master.terms.lease_s
    stage.master.terms.lease_s = 10.0
    await stage.heard("Heartbeat", 2, "lease-duration")
    running = await stage.taken(stage.work(former_s + 3.0), "lease-duration")
    stage.master.away = True
    stage.master.break_stream()
    await asyncio.sleep(former_s + 1.0)
    stage.master.away = False
    await stage.must(running.settled, "lease-duration", "did not finish what it ran")
    stage.findings.passed("lease-duration", f"ran on through {former_s + 1.0:g} s without contact")


def _available() -> pb.TaskIncomingResponse:
    hint = pb.TaskIncomingResponse.Available(task_types=["conformance.work"])
    return pb.TaskIncomingResponse(available=hint)


SCENES: Final = (
    Scene("arrival", ("starts-first", "register", "boot-id", "stream"), arrival),
    Scene("idle", ("no-busy-loop", "unknown-event", "heartbeat", "heartbeat-interval"), idle),
    Scene("busy", ("heartbeat", "inventory", "credit", "tokens"), busy),
    Scene("streams", ("stream-reopen", "silent-master"), streams),
    Scene("lost session", ("session-lost", "held-verdict", "old-session"), lost_session),
    Scene("name taken", ("name-taken",), name_taken),
    Scene("restart", ("restart",), restart),
    Scene("crowded", ("backoff",), crowded),
    Scene("cut off", ("out-of-contact", "backoff"), cut_off),
    Scene("longer lease", ("lease-duration",), longer_lease),
)
