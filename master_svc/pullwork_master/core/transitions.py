"""The whole life of a task and of a session, as tables; docs/task-life.svg is drawn from them.

Nothing else assigns a state. What is not in a table can't happen, and trying it is
a bug of ours, never a user's.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pullwork_master.core.model import Contact, State


class Event(StrEnum):
    """What happens to a task."""

    WAKE = "wake"  # its moment came
    GRANT = "grant"  # a worker gets it
    SUCCEED = "succeed"  # a result was accepted
    FAIL = "fail"  # no further attempt
    BACK_OFF = "back off"  # a further attempt, later
    LOSE = "lose"  # its worker is gone, or its ticket came back
    CANCEL = "cancel"
    RETRY = "retry"  # somebody wants it tried again


NEXT: Final[dict[tuple[State, Event], State]] = {
    (State.SCHEDULED, Event.WAKE): State.QUEUED,
    (State.SCHEDULED, Event.CANCEL): State.CANCELLED,
    (State.QUEUED, Event.GRANT): State.RUNNING,
    (State.QUEUED, Event.CANCEL): State.CANCELLED,
    (State.RUNNING, Event.SUCCEED): State.SUCCEEDED,
    (State.RUNNING, Event.FAIL): State.FAILED,
    (State.RUNNING, Event.BACK_OFF): State.SCHEDULED,
    (State.RUNNING, Event.LOSE): State.QUEUED,
    (State.RUNNING, Event.CANCEL): State.CANCELLED,
    (State.FAILED, Event.RETRY): State.QUEUED,
    (State.CANCELLED, Event.RETRY): State.QUEUED,
}


class Sign(StrEnum):
    """What the master notices of a session."""

    HEAR = "hear"  # it called, or opened its stream
    BREAK = "break"  # its stream broke, or it fell silent
    EXPIRE = "expire"  # the grace ended, it left, or it was replaced


CONTACT: Final[dict[tuple[Contact, Sign], Contact]] = {
    (Contact.CONNECTED, Sign.HEAR): Contact.CONNECTED,
    (Contact.CONNECTED, Sign.BREAK): Contact.SUSPECT,
    (Contact.CONNECTED, Sign.EXPIRE): Contact.EXPIRED,
    (Contact.SUSPECT, Sign.HEAR): Contact.CONNECTED,
    (Contact.SUSPECT, Sign.BREAK): Contact.SUSPECT,
    (Contact.SUSPECT, Sign.EXPIRE): Contact.EXPIRED,
}
