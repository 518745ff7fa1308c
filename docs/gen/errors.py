"""Prints docs/errors.md, made from the table in `pullwork.errors`.

`make docs` runs it; a test compares what it prints with what is committed.
"""

from __future__ import annotations

import inspect

from pullwork import errors
from pullwork.errors import HTTP_STATUS, WIRE_ERRORS, PullworkError

HEAD = """\
# Errors

<!-- Made by `make docs` from shared/pullwork/errors.py. Change that file, not this one. -->

Every refusal of a master carries a `google.rpc.ErrorInfo` with a **reason** and the domain
`pullwork`. Programs decide by the reason, never by the message: a message may change with any
release. The message names what was refused, why, and what to do; its values are in the metadata
too. Beside it there may be

- `google.rpc.BadRequest`, with the path of the field that is to blame, e.g. `tasks[2].type`;
- `google.rpc.RetryInfo`, with the time after which a repeat may succeed.

Over HTTP the same stands in a [problem](rest.md#errors).

The failure of a task is no error: it is data, in `Task.failure`, and comes with an OK status.
"""

WIRE = """
## What a master answers

| reason | status code | over HTTP | Python exception | meaning |
|---|---|---|---|---|
"""

LOCAL = """
## What only the Python client raises

These never travel: they are made where the exception is raised.

| exception | reason | meaning |
|---|---|---|
"""

TREE = """
## The tree of exceptions

All of them are importable from `pullwork.errors`; `except PullworkError` catches every one.

```
"""


def every_error() -> list[type[PullworkError]]:
    """Returns the public exceptions in the order of their file."""
    found = vars(errors).values()
    return [it for it in found if inspect.isclass(it) and issubclass(it, PullworkError)]


def meaning(error: type[PullworkError]) -> str:
    """Returns the first line of an exception's docstring, which is its message."""
    return (error.__doc__ or "").split("\n", 1)[0]


def tree(error: type[PullworkError], depth: int = 0) -> list[str]:
    """Returns an exception and all below it, a line each, indented."""
    lines = ["  " * depth + error.__name__]
    for child in every_error():
        if error in child.__bases__:
            lines += tree(child, depth + 1)
    return lines


def page() -> str:
    """Returns the whole page."""
    wire = "".join(
        f"| `{it.reason}` | `{it.code}` | {HTTP_STATUS[it.code]} | `{it.__name__}` "
        f"| {meaning(it)} |\n"
        for it in WIRE_ERRORS
    )
    local = "".join(
        f"| `{it.__name__}` | {f'`{it.reason}`' if it.reason else 'the root of a group'} "
        f"| {meaning(it)} |\n"
        for it in every_error()
        if it not in WIRE_ERRORS
    )
    return HEAD + WIRE + wire + LOCAL + local + TREE + "\n".join(tree(PullworkError)) + "\n```\n"


if __name__ == "__main__":
    print(page(), end="")
