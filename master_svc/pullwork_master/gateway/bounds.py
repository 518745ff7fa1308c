"""Bounds on all that comes in over HTTP, each with its reason."""

from __future__ import annotations

from typing import Final

# The 3 MiB that a list of tasks may have are 4 MiB as base64; the rest is names.
BODY_BYTES_MAX: Final = 6 * 1024 * 1024
# A body that is too large is read and dropped up to here, so that its sender hears the answer.
BODY_BYTES_DROPPED_MAX: Final = 4 * BODY_BYTES_MAX
BODY_S_MAX: Final = 30.0  # a body that comes slower than this is no honest one
HEAD_BYTES_MAX: Final = 64 * 1024  # holds the path of a watch of a thousand tasks
CONNECTIONS_MAX: Final = 1_000  # each costs a descriptor and some 50 kB
KEEP_ALIVE_S: Final = 30  # how long a connection may be idle between two requests
# JSON longer than this is read and written in a thread, where it does not hold up the loop: a
# thousand tasks take some 50 ms.
INLINE_BYTES_MAX: Final = 16 * 1024
# After so long without an event a stream says that it lives; proxies cut what is silent for 60 s.
EVENT_PAUSE_S: Final = 15.0
# The first event may bring a refusal, which has a status only if it comes before all else.
FIRST_EVENT_S: Final = 1.0
