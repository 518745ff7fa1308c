"""Errors as `application/problem+json` (RFC 9457), made from the table of errors."""

from __future__ import annotations

import json
from math import ceil
from typing import Any, Final

from starlette.responses import Response

from pullwork.errors import PullworkError
from pullwork_master.gateway.refusals import HttpRefusal, status_of

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:pullwork:error:"


def document(error: PullworkError, code: str = "") -> dict[str, Any]:
    """Returns what a problem says; `code` is gRPC's, for an error without a row in the table."""
    reason = error.reason or code or "UNKNOWN"
    told: dict[str, Any] = {
        "type": f"{TYPE_PREFIX}{reason}",
        "title": (type(error).__doc__ or "").split("\n", 1)[0],
        "status": status_of(error, code),
        "detail": str(error),
        "reason": reason,
    }
    if error.field:
        told["field"] = error.field
    if error.metadata:
        told["metadata"] = error.metadata
    if error.retry_after_s is not None:
        told["retry_after_s"] = error.retry_after_s
    return told


def response(error: PullworkError, code: str = "") -> Response:
    """Answers with a problem."""
    told = document(error, code)
    headers = dict(error.headers) if isinstance(error, HttpRefusal) else {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(ceil(error.retry_after_s))
    body = json.dumps(told, ensure_ascii=False).encode(errors="backslashreplace")
    return Response(body, told["status"], headers, media_type=MEDIA_TYPE)
