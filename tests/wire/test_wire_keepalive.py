"""(guard) Keepalive on both sides: options that only work as a pair, tried at short times.

What these hold was measured with one version of grpcio; an upgrade may change it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from wired_master import WiredMaster, serving, until

from pullwork.channel import KEEPALIVE_TIMEOUT_MS, Options, client_options, server_options
from pullwork.v1 import task_service_pb2, task_service_pb2_grpc
from pullwork_master.core.sessions import PING_TIMEOUT_MS
from pullwork_master.storage.memory import MemoryStorage
from pullwork_master.wire import server as wire_server

SCALE = 40  # 10 s and 5 s become 250 ms and 125 ms
READY = grpc.ChannelConnectivity.READY


def _scaled(options: Options) -> Options:
    """Shortens every time of keepalive by the same factor."""
    return [
        (name, int(value) // SCALE if "keepalive_time" in name or "ping" in name else value)
        for name, value in options
    ]


@pytest.fixture
async def brisk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WiredMaster]:
    """A master whose keepalive is as fast as a test needs."""
    monkeypatch.setattr(wire_server, "server_options", lambda: _scaled(server_options()))
    async with serving(MemoryStorage(), heartbeat_ms=600_000) as master:
        yield master


def test_the_options_of_both_sides_are_those_that_were_measured() -> None:
    both = {
        "grpc.keepalive_time_ms": 10_000,
        "grpc.keepalive_timeout_ms": 5_000,
        "grpc.http2.ping_timeout_ms": 5_000,
        "grpc.keepalive_permit_without_calls": 1,
    }
    server, client = dict(server_options()), dict(client_options())
    assert both.items() <= server.items()
    assert both.items() <= client.items()
    assert server["grpc.so_reuseport"] == 0
    assert client["grpc.http2.max_pings_without_data"] == 0
    tolerated = server["grpc.http2.min_ping_interval_without_data_ms"]
    assert int(tolerated) <= int(client["grpc.keepalive_time_ms"])


async def test_a_frozen_worker_is_noticed_within_keepalive_and_its_timeout(
    brisk: WiredMaster,
) -> None:
    script = Path(__file__).with_name("frozen_client.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), brisk.address, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert await asyncio.wait_for(process.stdout.readline(), 30) == b"listening\n"
        assert brisk.listening() == 1
        process.send_signal(signal.SIGSTOP)
        frozen_at = time.monotonic()
        await until(lambda: not brisk.listening(), "the frozen worker is noticed")
        # 0.4 s by the options; the rest is for a busy machine. Without them it takes a minute.
        assert time.monotonic() - frozen_at < 5
        (session,) = brisk.engine.core.book.sessions.values()
        assert session.contact.name == "SUSPECT"
    finally:
        process.kill()
        await process.wait()


async def _first_break(address: str, options: Options, patience_s: float) -> bool:
    """Connects, then stays idle and says whether the connection broke within that time."""
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        tasks = task_service_pb2_grpc.TaskServiceStub(channel)
        await tasks.ListTasks(task_service_pb2.ListTasksRequest())
        assert channel.get_state() is READY
        try:
            await asyncio.wait_for(channel.wait_for_state_change(READY), patience_s)
        except TimeoutError:
            return False
        return True


async def test_an_idle_client_may_ping_as_often_as_its_options_say(brisk: WiredMaster) -> None:
    pings = 5
    patience_s = pings * 10 / SCALE
    assert not await _first_break(brisk.address, _scaled(client_options()), patience_s)


async def test_a_server_without_its_tolerance_would_break_with_such_a_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Shows that the test above can see what it looks for."""
    intolerant = [each for each in server_options() if "min_ping_interval" not in each[0]]
    monkeypatch.setattr(wire_server, "server_options", lambda: _scaled(intolerant))
    async with serving(MemoryStorage()) as master:
        assert await _first_break(master.address, _scaled(client_options()), 10)


def test_the_core_knows_how_long_the_port_waits_for_a_ping() -> None:
    # It is pure and can't import it; a break after that long is silence, not a clean end.
    assert PING_TIMEOUT_MS == KEEPALIVE_TIMEOUT_MS
