"""A type of task that no worker of the harness knows: workers made by hand do it."""

from __future__ import annotations

from pullwork import task


@task(type="faults.by_hand")
def by_hand() -> str:
    """Is never run as a function."""
    raise NotImplementedError
