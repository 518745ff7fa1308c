"""What workers of these tests can do beside `jobs`."""

from __future__ import annotations

import os

from pullwork import Retry, task


@task(type="metric_jobs.flaky", retry=Retry(max_attempts=3, initial_backoff=0.01))
async def flaky() -> None:
    """Fails each time."""
    raise ValueError("as always")


@task(type="metric_jobs.deadly", max_worker_deaths=1)
def deadly() -> None:
    """Takes its process with it."""
    os._exit(1)
