"""Says why an address can't be listened on: gRPC only tells that it can't."""

from __future__ import annotations

import errno
import socket


def refusal(listen: str, *, by: str, flag: str) -> str:
    """Returns the system's reason for refusing an address, and the remedy.

    `by` is who listens there most likely, `flag` names the setting. The address is tried once
    more, by a plain socket.
    """
    elsewhere = f"choose another address with {flag}"
    try:
        _try(listen)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return f"can't listen on {listen}: {error.strerror or error}; {elsewhere}"
    return (
        f"can't listen on {listen}: the port is in use; is another {by} running there? "
        f"Stop it, or {elsewhere}"
    )


def _try(listen: str) -> None:
    host, _, port = listen.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    for family, kind, protocol, _name, address in found:
        with socket.socket(family, kind, protocol) as probe:
            # As gRPC does: what lingers of an ended connection is no hindrance.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
