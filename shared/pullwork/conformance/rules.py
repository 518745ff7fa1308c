"""The rules of a worker, each with the place where the documentation gives its reason.

What a rule says here is what `pullwork conformance --list` prints; which scene tries it stands in
`scenes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_PAGE: Final = "docs/writing-a-worker.md"
_LIFE: Final = f"{_PAGE}#the-life-of-a-worker"
_BROKEN: Final = f"{_PAGE}#when-something-breaks"


@dataclass(frozen=True)
class Rule:
    """One thing that a worker must do, or must never do."""

    id: str
    text: str
    page: str


RULES: Final = (
    Rule("starts-first", "started before its master, it waits for it", _LIFE),
    Rule(
        "register", "it registers with a name, a boot id, types and slots that are in bounds", _LIFE
    ),
    Rule(
        "boot-id", "its boot id is new at each start of the process, and stays while it runs", _LIFE
    ),
    Rule("stream", "it opens TaskIncoming after it registered", _LIFE),
    Rule("credit", "it never asks for more than its slots and look-ahead have room for", _LIFE),
    Rule("no-busy-loop", "it does not ask again and again while there is no work", _LIFE),
    Rule("request-id", "a request whose answer was lost is repeated under its request_id", _LIFE),
    Rule("result", "what it runs ends in one report of what the function returned", _LIFE),
    Rule("report-once", "what got its verdict is not reported again", _LIFE),
    Rule(
        "report-repeat", "a report whose answer was lost is repeated, with the same outcome", _LIFE
    ),
    Rule("tokens", "lease tokens are sent back as they came, and no others", _LIFE),
    Rule("heartbeat", "heartbeats come at every interval, also while all slots are busy", _LIFE),
    Rule("heartbeat-interval", "the interval is what the last answer said", _LIFE),
    Rule("lease-duration", "the lease's length, too, is what the last answer said", _LIFE),
    Rule(
        "inventory", "each heartbeat lists every ticket, from its arrival until its verdict", _LIFE
    ),
    Rule("abandon", "what a heartbeat's answer says to abandon is stopped and not reported", _LIFE),
    Rule("cancel", "what a `cancel` event names is stopped and not reported", _LIFE),
    Rule("unknown-event", "an event that it does not know is ignored", _LIFE),
    Rule(
        "unknown-type", "a ticket of a type that it does not know is reported as a failure", _LIFE
    ),
    Rule(
        "bad-payload", "a payload that the function can't take is a failure of kind REJECTED", _LIFE
    ),
    Rule("oversize-result", "a result beyond payload_bytes_max is reported as a failure", _LIFE),
    Rule(
        "timeout",
        "an attempt that outlives its execution_timeout is a failure of kind TIMEOUT",
        _LIFE,
    ),
    Rule(
        "session-lost",
        "after SESSION_LOST it registers anew with all it holds, and goes on",
        _BROKEN,
    ),
    Rule("held-verdict", "what Register answers with ABANDON is stopped and not reported", _BROKEN),
    Rule("old-session", "a session that is over is not used any more", _BROKEN),
    Rule("name-taken", "after NAME_TAKEN it takes another name", _BROKEN),
    Rule("stream-reopen", "a stream that ended is opened again, without haste", _BROKEN),
    Rule(
        "silent-master",
        "a stream without an event for three intervals is closed and reopened",
        _BROKEN,
    ),
    Rule("backoff", "calls that are refused for now are repeated with growing waits", _BROKEN),
    Rule("restart", "it goes on with what it holds after a restart of the master", _BROKEN),
    Rule("out-of-contact", "out of contact for the lease's length, it stops what it runs", _BROKEN),
    Rule("drain-event", "told to drain by an event, it finishes, deregisters and exits", _LIFE),
    Rule("drain-heartbeat", "told to drain by a heartbeat's answer, it does the same", _LIFE),
    Rule("sigterm", "told to stop by SIGTERM, it finishes, deregisters and exits with 0", _LIFE),
)
BY_ID: Final = {rule.id: rule for rule in RULES}
