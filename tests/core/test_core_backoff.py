"""The wait between attempts grows, is bounded, and differs from task to task."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pullwork_master.core.limits import DURATION_MS_MAX, MULTIPLIER_MAX, RETRY_ATTEMPTS_MAX
from pullwork_master.core.model import Retry
from pullwork_master.core.retry import JITTER_SHARE, backoff_ms

retries = st.builds(
    Retry,
    max_attempts=st.just(RETRY_ATTEMPTS_MAX),
    initial_ms=st.integers(0, DURATION_MS_MAX),
    max_ms=st.integers(0, DURATION_MS_MAX),
    multiplier=st.floats(1.0, MULTIPLIER_MAX),
)


@settings(deadline=None)
@given(retries, st.integers(1, RETRY_ATTEMPTS_MAX), st.integers(1, 2**62))
def test_a_wait_is_never_negative_nor_longer_than_its_bound(
    retry: Retry, failures: int, seq: int
) -> None:
    assert 0 <= backoff_ms(retry, failures, seq) <= retry.max_ms


def test_a_wait_grows_by_its_multiplier_less_up_to_a_tenth() -> None:
    retry = Retry(10, initial_ms=1_000, max_ms=100_000, multiplier=3.0)
    for failures, whole_ms in enumerate((1_000, 3_000, 9_000, 27_000, 81_000, 100_000), 1):
        wait_ms = backoff_ms(retry, failures, seq=7)
        assert whole_ms * (1 - JITTER_SHARE) - 1 <= wait_ms <= whole_ms


def test_the_thousandth_wait_of_the_steepest_retry_does_not_overflow() -> None:
    retry = Retry(RETRY_ATTEMPTS_MAX, 1, DURATION_MS_MAX, MULTIPLIER_MAX)
    wait_ms = backoff_ms(retry, RETRY_ATTEMPTS_MAX, seq=1)
    assert DURATION_MS_MAX * (1 - JITTER_SHARE) - 1 <= wait_ms <= DURATION_MS_MAX


def test_a_first_wait_beyond_the_bound_is_the_bound() -> None:
    assert backoff_ms(Retry(2, 10_000, 1_000, 2.0), 1, seq=1) <= 1_000


def test_tasks_that_failed_together_do_not_come_back_together() -> None:
    waits = {backoff_ms(Retry(3, 10_000, 60_000, 2.0), 1, seq) for seq in range(100)}
    assert len(waits) > 80


def test_a_replay_waits_exactly_as_long() -> None:
    retry = Retry(3, 10_000, 60_000, 2.0)
    assert [backoff_ms(retry, 2, seq) for seq in range(20)] == [
        backoff_ms(retry, 2, seq) for seq in range(20)
    ]
