"""What must hold between any two stimuli; for tests, and for whoever debugs the machine."""

from __future__ import annotations

from pullwork_worker.machine.desk import Desk
from pullwork_worker.machine.lanes import Lanes
from pullwork_worker.machine.link import Phase
from pullwork_worker.machine.machine import Machine
from pullwork_worker.machine.ticket import LINED_UP, State


def validate_state(machine: Machine) -> None:
    """Raises AssertionError, with the law's words, where the machine's state breaks one."""
    _validate_lanes(machine.desk.lanes)
    if machine.link.phase < Phase.LEAVING:
        _validate_desk(machine)
    _validate_link(machine)
    _validate_progress(machine)


def _validate_lanes(lanes: Lanes) -> None:
    for slot in lanes.slots:
        states = [ticket.state for ticket in slot.lane]
        assert all(state is State.GIVEN for state in states[1:]), "followers have not begun"
        assert not states or states[0] in (State.RUNNING, State.STOPPING), "a head has begun"
        assert all(ticket.slot == slot.index for ticket in slot.lane), "a ticket knows its slot"
        kinds = {lanes.kinds[ticket.type] for ticket in slot.lane}
        assert len(states) < 2 or len(kinds) == 1, "followers are run by who runs their head"
        assert len(states) < 2 or kinds <= LINED_UP, "only children and the loop get followers"
        assert slot.stuck is None or not slot.lane, "a stuck slot is given nothing"
        is_free = slot.ready and not slot.lane and slot.stuck is None
        assert is_free == (slot.index in lanes.free), "free slots are known"
    followers = sum(max(0, len(slot.lane) - 1) for slot in lanes.slots)
    assert followers == lanes.followers, "followers are counted"
    assert not (lanes.closed and lanes.waiting), "a closed desk keeps nothing waiting"
    assert not (lanes.waiting and lanes.free), "nothing waits beside a free slot"


def _validate_desk(machine: Machine) -> None:
    desk = machine.desk
    places = {ticket.token: "waiting" for ticket in desk.lanes.waiting}
    places |= {ticket.token: "ended" for ticket in desk.ended}
    for slot in desk.lanes.slots:
        places |= {ticket.token: "lane" for ticket in slot.lane if ticket.wanted}
    report = machine.link.report
    sent = {token for token, _ in report.outcomes} if report is not None else set()
    expected = {
        State.WAITING: "waiting",
        State.GIVEN: "lane",
        State.RUNNING: "lane",
        State.STOPPING: "lane",
        State.ENDED: "ended",
    }
    for token, ticket in desk.held.items():
        assert ticket.wanted, "what is held is wanted"
        if ticket.state is State.SENT:
            assert token in sent, "what was sent is on its way"
            assert token not in places, "what was sent is nowhere else"
        else:
            assert places.pop(token, None) == expected[ticket.state], "a ticket is in one place"
        assert (ticket.outcome is not None) == (ticket.state >= State.ENDED), (
            "an end has an outcome"
        )
    assert not places, "nothing is anywhere that is not held"


def _validate_link(machine: Machine) -> None:
    link, desk = machine.link, machine.desk
    on_their_way = (link.report, link.request, link.heartbeat)
    if link.phase is not Phase.IN:
        assert on_their_way == (None, None, None), "calls belong to a session"
    for call in on_their_way:
        assert call is None or call.session_id == link.session_id, "calls are of this session"
    assert link.reserved() <= capacity(desk), "never more is asked for than there is room"
    assert not (machine.draining and link.request is not None), "who drains asks for nothing"


def capacity(desk: Desk) -> int:
    """Returns the most tickets that a worker may ask for."""
    return len(desk.lanes.slots) + desk.look_ahead_max


def _validate_progress(machine: Machine) -> None:
    link, desk = machine.link, machine.desk
    if link.phase is not Phase.IN:
        return
    if any(ticket.reportable for ticket in desk.ended):
        assert link.report is not None, "no outcome lingers"
    if desk.free_credit() > link.reserved():
        assert link.request is not None, "no slot idles unasked"
    if machine.draining:
        assert not desk.idle(), "who has nothing left leaves"
