"""A master that is older than its client: what it does not know yet is told in plain words."""

from __future__ import annotations

import grpc.aio
import pytest

from pullwork import Client
from pullwork.errors import PullworkError


async def test_a_call_that_the_master_does_not_know_says_that_it_is_older() -> None:
    server = grpc.aio.server()  # it knows no call at all
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with Client(f"127.0.0.1:{port}") as client:
            with pytest.raises(PullworkError, match="older than this program"):
                await client.services.list()
    finally:
        await server.stop(None)
