"""How both sides open their end of a connection: the keepalive settings and sizes.

They stand in one place because they only work as a pair: a server that tolerates
fewer pings than its clients send answers with GOAWAY `too_many_pings`, and a side
without `http2.ping_timeout_ms` notices a frozen peer only after a minute.
"""

from __future__ import annotations

from typing import Final

import grpc.aio

KEEPALIVE_TIME_MS: Final = 10_000
KEEPALIVE_TIMEOUT_MS: Final = 5_000
MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024

Options = list[tuple[str, int | str]]

_BOTH: Final[Options] = [
    ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    # keepalive_timeout_ms alone was seen not to evict a stopped peer for 60 s.
    ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
]


def server_options() -> Options:
    """Returns the options of a master's port."""
    return [
        *_BOTH,
        # Else a second master binds the same port, and the kernel shares calls between the two.
        ("grpc.so_reuseport", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_TIME_MS // 2),
    ]


def client_options() -> Options:
    """Returns the options of a client's or worker's channel."""
    return [
        *_BOTH,
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 1_000),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]


def open_channel(address: str) -> grpc.aio.Channel:
    """Opens a channel to a master at `host:port`; it connects by itself when first used."""
    return grpc.aio.insecure_channel(address, options=client_options())
