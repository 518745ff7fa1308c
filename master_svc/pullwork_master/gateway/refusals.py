"""What the door itself refuses, before a call is reached; the rest is the table of errors.

A refusal has a reason, as every error of Pullwork; its docstring is the title.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pullwork.errors import HTTP_STATUS, InternalError, InvalidFieldError, PullworkError


class HttpRefusal(PullworkError):
    """A request that is not one of this door."""

    http_status: ClassVar[int] = 400

    def __init__(self, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.headers = dict(headers or {})


class NotJsonError(HttpRefusal):
    """The body is not JSON."""

    reason = "NOT_JSON"


class CrossOriginError(HttpRefusal):
    """A page of another site asks for a change."""

    reason = "CROSS_ORIGIN"
    http_status = 403


class NoSuchPathError(HttpRefusal):
    """There is nothing at this path."""

    reason = "NO_SUCH_PATH"
    http_status = 404


class MethodNotAllowedError(HttpRefusal):
    """This path does not take this method."""

    reason = "METHOD_NOT_ALLOWED"
    http_status = 405


class SlowBodyError(HttpRefusal):
    """The body did not come in time."""

    reason = "SLOW_BODY"
    http_status = 408


class BodyTooLargeError(HttpRefusal):
    """The body is larger than is taken."""

    reason = "BODY_TOO_LARGE"
    http_status = 413


class UnsupportedMediaTypeError(HttpRefusal):
    """The body is of a kind that is not taken."""

    reason = "UNSUPPORTED_MEDIA_TYPE"
    http_status = 415


class NotSettledError(HttpRefusal):
    """The master has just started and does not know yet what there is."""

    reason = "NOT_SETTLED"
    http_status = 503


class UnknownHostError(HttpRefusal):
    """The request was meant for a host by another name."""

    reason = "UNKNOWN_HOST"
    http_status = 421


class CallError(Exception):
    """A call was refused behind the door: the error, and gRPC's name of its code."""

    def __init__(self, error: PullworkError, code: str) -> None:
        super().__init__(str(error))
        self.error = error
        self.code = code


def status_of(error: PullworkError, code: str = "") -> int:
    """Returns the status of HTTP for an error."""
    if isinstance(error, HttpRefusal):
        return error.http_status
    return HTTP_STATUS.get(code or error.code, HTTP_STATUS[InternalError.code])


def refuse_field(field: str, problem: str) -> InvalidFieldError:
    """Makes the refusal of one field, named as the contract names it."""
    return InvalidFieldError(f"{field} {problem}", field=field)
