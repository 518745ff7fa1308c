"""Gearman's binary protocol, as much of it as a client and a worker need.

No library of PyPI for it is both kept and quick; this one joins packets, so the job server
is what is measured.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

CAN_DO: Final = 1
PRE_SLEEP: Final = 4
NOOP: Final = 6
SUBMIT_JOB: Final = 7
JOB_CREATED: Final = 8
GRAB_JOB: Final = 9
NO_JOB: Final = 10
JOB_ASSIGN: Final = 11
WORK_COMPLETE: Final = 13

FUNCTION: Final = b"bench"
_HEAD: Final = struct.Struct(">4sII")
_ASKS: Final = b"\0REQ"
_READ: Final = 1 << 18


def packet(kind: int, *fields: bytes) -> bytes:
    """Returns a packet to send."""
    body = b"\0".join(fields)
    return _HEAD.pack(_ASKS, kind, len(body)) + body


class Connection:
    """A connection to a job server."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._left = b""

    def send(self, packets: bytes) -> None:
        """Sends packets, joined."""
        self._socket.sendall(packets)

    def received(self) -> list[tuple[int, bytes]]:
        """Waits until something comes and returns the kind and body of each whole packet."""
        more = self._socket.recv(_READ)
        if not more:
            raise EOFError("the job server hung up")
        self._left, packets = divided(self._left + more)
        return packets


def divided(data: bytes) -> tuple[bytes, list[tuple[int, bytes]]]:
    """Returns what is left over, and the kind and body of each whole packet."""
    packets: list[tuple[int, bytes]] = []
    at = 0
    while len(data) - at >= _HEAD.size:
        _, kind, size = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + size
        if end > len(data):
            break
        packets.append((kind, data[at + _HEAD.size : end]))
        at = end
    return data[at:], packets
