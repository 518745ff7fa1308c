"""Whatever is asked is a question or is refused; nothing else ever comes of it."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from pullwork_master.gateway.discovery import consul
from pullwork_master.gateway.discovery.questions import WAIT_S_MAX, ConsulRefusal, read

PARAMETERS = ["index", "wait", "passing", "tag", "dc", "ns", "filter", "node-meta", "stale", "x"]
PATHS = ["catalog/services", "health/service/", "health/state/", "agent/self", ""]


@given(
    start=st.sampled_from(PATHS),
    rest=st.text(max_size=20),
    pairs=st.lists(st.tuples(st.sampled_from(PARAMETERS), st.text(max_size=12)), max_size=4),
)
@example(start=PATHS[0], rest="", pairs=[("index", "٣"), ("wait", "٣s")])
@example(start=PATHS[0], rest="", pairs=[("index", "1"), ("wait", "1.s.5h")])
def test_any_request_is_a_question_or_is_refused(
    start: str, rest: str, pairs: list[tuple[str, str]]
) -> None:
    raw_path = f"/v1/{start}{rest}".encode().decode("latin-1")
    try:
        question = read(raw_path, pairs)
    except ConsulRefusal:
        return
    assert 0 <= question.index < 2**64
    assert 0 < question.wait_s <= WAIT_S_MAX
    assert consul.service_of(question.name) == question.name.split("_")[0]
