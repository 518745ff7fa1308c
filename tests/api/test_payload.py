"""What travels: values that come back as they were, and sentences about those that can't."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import decimal
import enum
import json
import math
import time
import uuid
from collections.abc import Sequence
from typing import Annotated, Any

import pytest
import sample_tasks
from annotated_types import Ge
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from pullwork import payload
from pullwork.errors import PayloadError, TaskDefinitionError
from pullwork.payload import BYTES, JSON, PROTOBUF, Encoded
from pullwork.tasks import Task, task


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Model(BaseModel):
    name: str
    size: Annotated[int, Ge(0)] = 0


@dataclasses.dataclass
class Box:
    content: bytes
    colours: list[Colour]
    inner: Box | None = None


@task
def everything(
    flag: bool,
    number: int,
    share: float,
    word: str,
    when: datetime.datetime,
    amount: decimal.Decimal,
    key: uuid.UUID,
    box: Box,
    model: Model | None,
    counts: dict[int, str],
    pair: tuple[int, str],
) -> Box:
    return box


@task
def positions(first: int, /, second: int, *, third: int = 3) -> int:
    return first + second + third


@task
def untyped(value, other=None):  # type: ignore[no-untyped-def]
    return value


def back(of: Task[..., Any], encoded: Encoded) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return payload.decode_args(of, encoded.data, encoded.content_type)


words = st.text(st.characters(codec="utf-8"))
boxes = st.recursive(
    st.builds(Box, st.binary(), st.lists(st.sampled_from(Colour))),
    lambda inner: st.builds(Box, st.binary(), st.lists(st.sampled_from(Colour)), inner),
    max_leaves=3,
)
# RFC 3339 has no offsets of seconds, and pydantic keeps microseconds.
moments = st.datetimes(timezones=st.just(datetime.UTC))


@given(
    st.fixed_dictionaries(
        {
            "flag": st.booleans(),
            "number": st.integers(-(2**60), 2**60),
            "share": st.floats(allow_nan=False, allow_infinity=False),
            "word": words,
            "when": moments,
            "amount": st.decimals(allow_nan=False, allow_infinity=False),
            "key": st.uuids(),
            "box": boxes,
            "model": st.none() | st.builds(Model, name=words, size=st.integers(0, 9)),
            "counts": st.dictionaries(st.integers(-9, 9), words),
            "pair": st.tuples(st.integers(-9, 9), words),
        }
    )
)
def test_arguments_come_back_as_they_went(values: dict[str, Any]) -> None:
    args, kwargs = back(everything, payload.encode_args(everything, (), values))
    assert args == ()
    assert kwargs == values


@given(boxes)
def test_a_result_comes_back_as_it_went(box: Box) -> None:
    encoded = payload.encode_result(everything, box)
    assert encoded.content_type == JSON
    assert payload.decode_result(everything, *encoded) == box


@given(st.binary())
def test_bytes_travel_as_they_are(data: bytes) -> None:
    assert payload.encode_args(sample_tasks.reverse, (data,), {}) == (data, "text/plain")
    assert back(sample_tasks.reverse, Encoded(data, "")) == ((), {"data": data})
    assert payload.encode_result(sample_tasks.reverse, data) == (data, BYTES)
    assert payload.decode_result(sample_tasks.reverse, data, BYTES) == data


def test_a_message_travels_in_its_wire_form() -> None:
    when = Timestamp(seconds=5)
    encoded = payload.encode_args(sample_tasks.later, (when,), {})
    assert encoded == (when.SerializeToString(), PROTOBUF)
    assert back(sample_tasks.later, encoded) == ((), {"when": when})
    result = payload.encode_result(sample_tasks.later, when)
    assert payload.decode_result(sample_tasks.later, *result) == when


def test_the_payload_is_an_object_of_parameter_names() -> None:
    encoded = payload.encode_args(positions, (1, 2), {})
    assert json.loads(encoded.data) == {"first": 1, "second": 2}
    assert back(positions, encoded) == ((1,), {"second": 2})


def test_any_language_may_write_the_payload() -> None:
    data = b' {"third": 5, "second": 2, "first": 1} '
    args, kwargs = payload.decode_args(positions, data, "application/json; charset=utf-8")
    assert positions(*args, **kwargs) == 8


def test_no_payload_is_no_arguments() -> None:
    assert payload.decode_args(sample_tasks.hold, b"", "") == ((), {})


def test_parameters_without_annotation_take_any_json() -> None:
    value = {"a": [1, None, "x"]}
    assert back(untyped, payload.encode_args(untyped, (value,), {})) == ((), {"value": value})


REFUSED_ARGUMENTS: list[tuple[Task[..., Any], tuple[Any, ...], dict[str, Any], str, str]] = [
    (sample_tasks.add, ("1",), {}, "a", "'a': input should be a valid integer, got '1'"),
    (sample_tasks.add, (), {}, "a", "argument 'a' is missing"),
    (sample_tasks.add, (1,), {"c": 2}, "c", "there is no parameter for argument 'c'"),
    (sample_tasks.add, (1,), {"a": 2}, "a", "'a' is given twice"),
    (sample_tasks.add, (1, 2, 3), {}, "", "takes 2 arguments by position, got 3"),
    (positions, (), {"first": 1, "second": 2}, "first", "'first' can be given by position only"),
    (positions, (1, 2, 3), {}, "", "takes 2 arguments by position, got 3"),
    (sample_tasks.reverse, ("text",), {}, "data", "'data' must be bytes, got str"),
    (sample_tasks.reverse, (), {}, "data", "'data' is missing"),
    (sample_tasks.reverse, (b"",), {"more": 1}, "more", "no parameter 'more'"),
    (sample_tasks.later, (5,), {}, "when", "'when' must be Timestamp, got int"),
    (sample_tasks.move, ({"x": 1},), {}, "point", "'point': "),
    (untyped, (object(),), {}, "", "the arguments are no JSON"),
]


@pytest.mark.parametrize(("of", "args", "kwargs", "field", "said"), REFUSED_ARGUMENTS)
def test_arguments_that_do_not_fit_are_refused_where_they_are_given(
    of: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(PayloadError, match=f"{of.type}: .*{said}") as caught:
        of.with_args(*args, **kwargs)
    assert caught.value.field == field


def test_numbers_that_json_has_not_are_refused_by_name() -> None:
    @task(executor="thread")
    def grow(share: float) -> float:
        return share

    with pytest.raises(PayloadError, match="'share': input should be a finite number"):
        grow.with_args(math.nan)
    # A result was worked for: it is not thrown away for its value.
    assert math.isnan(payload.decode_result(grow, *payload.encode_result(grow, math.nan)))


REFUSED_PAYLOADS: list[tuple[Task[..., Any], bytes, str, str]] = [
    (sample_tasks.add, b"{", JSON, "the payload is no JSON: EOF"),
    (sample_tasks.add, b"[1]", JSON, "must be a JSON object of parameter names"),
    (sample_tasks.add, b'{"a": "1"}', JSON, "'a': input should be a valid integer"),
    (sample_tasks.add, b"{}", JSON, "argument 'a' is missing"),
    (sample_tasks.add, b'{"a": 1, "z": 2}', JSON, "there is no parameter for argument 'z'"),
    (sample_tasks.add, b"\xff", JSON, "the payload is no JSON"),
    (sample_tasks.add, b"{}", BYTES, "expects application/json, got content type"),
    (sample_tasks.move, b'{"point": {"y": 1}}', JSON, "argument 'point.x' is missing"),
    (sample_tasks.later, b"\xff\xff", PROTOBUF, r"are no google\.protobuf\.Timestamp"),
    (sample_tasks.later, b"{}", JSON, r"expects the protobuf message google\.protobuf\.Timest"),
]


@pytest.mark.parametrize(("of", "data", "content_type", "said"), REFUSED_PAYLOADS)
def test_a_payload_that_does_not_fit_is_refused_with_a_reason(
    of: Task[..., Any], data: bytes, content_type: str, said: str
) -> None:
    with pytest.raises(PayloadError, match=f"{of.type}: .*{said}"):
        payload.decode_args(of, data, content_type)


@given(st.binary(), st.sampled_from(["", JSON, PROTOBUF, BYTES, "x/y", ";"]))
def test_whatever_bytes_come_they_are_taken_or_refused_with_a_reason(
    data: bytes, content_type: str
) -> None:
    for of in (everything, sample_tasks.later, sample_tasks.reverse):
        with contextlib.suppress(PayloadError):
            payload.decode_args(of, data, content_type)


REFUSED_RESULTS: list[tuple[Task[..., Any], Any, str]] = [
    (sample_tasks.add, "x", "the result: input should be a valid integer"),
    (sample_tasks.count_words, {"a": "x"}, "the result at a: input should be a valid integer"),
    (sample_tasks.reverse, "text", "the result must be bytes, got str"),
    (sample_tasks.later, None, "the result must be Timestamp, got NoneType"),
    (untyped, object(), "the result is no JSON"),
]


@pytest.mark.parametrize(("of", "value", "said"), REFUSED_RESULTS)
def test_a_result_that_cannot_be_encoded_is_refused_with_a_reason(
    of: Task[..., Any], value: Any, said: str
) -> None:
    with pytest.raises(PayloadError, match=f"{of.type}: {said}"):
        payload.encode_result(of, value)


def test_a_result_is_converted_to_what_the_annotation_says() -> None:
    @task(executor="thread")
    def listed() -> Sequence[int]:
        return (1, 2)

    encoded = payload.encode_result(listed, (1, 2))
    assert encoded.data == b"[1,2]"
    assert list(payload.decode_result(listed, *encoded)) == [1, 2]


def test_without_a_task_a_result_is_read_by_its_content_type() -> None:
    assert payload.decode_result(None, b'{"a": 1}', JSON) == {"a": 1}
    assert payload.decode_result(None, b"\xff", BYTES) == b"\xff"
    assert payload.decode_result(None, b"plain", "") == b"plain"
    with pytest.raises(PayloadError, match="the result is no JSON"):
        payload.decode_result(None, b"{", JSON)


def test_a_message_beside_other_parameters_is_refused() -> None:
    @task(executor="thread")
    def mixed(when: Timestamp, n: int) -> None: ...

    with pytest.raises(TaskDefinitionError, match="a message must be the only one"):
        mixed.with_args(Timestamp(), 1)


def test_what_is_changed_after_the_call_was_made_does_not_travel() -> None:
    values = [1]
    call = untyped.with_args(values)
    values.append(2)
    assert json.loads(call.payload.data) == {"value": [1]}


def test_packing_a_simple_call_costs_microseconds() -> None:
    sample_tasks.add.with_args(1)
    rounds = 2000
    best = math.inf
    for _ in range(5):
        begun = time.process_time()
        for _ in range(rounds):
            sample_tasks.add.with_args(1, b=2)
        best = min(best, (time.process_time() - begun) / rounds)
    assert best < 20e-6  # 2.5 µs where it was written
