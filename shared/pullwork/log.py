"""How programs of Pullwork log: the standard `logging`, one line a record, on stdout.

On a terminal the lines are for people; elsewhere, or when asked, each is a JSON object.
What a caller passes as `extra` is kept in both.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO, get_args

from pullwork.context import running
from pullwork.errors import SettingsError

# For the fields `log_level` and `log_format` of a service's settings.
Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "human", "json"]

# What every record has; whatever else it carries came in by `extra`.
_STANDARD: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"}
)


def setup(
    level: str = "info", format: Format = "auto", stream: TextIO | None = None, worker: str = ""
) -> None:
    """Replaces the root logger's handlers by one that writes to `stream` (stdout by default).

    `worker` is its name, for the lines that tasks write. Raises SettingsError for a level or format
    that does not exist.
    """
    if level.lower() not in get_args(Level):
        raise SettingsError(f"no log level {level!r}: use one of {', '.join(get_args(Level))}")
    if format not in get_args(Format):
        raise SettingsError(f"no log format {format!r}: use one of {', '.join(get_args(Format))}")
    out = sys.stdout if stream is None else stream
    human = format == "human" or (format == "auto" and out.isatty())
    handler = logging.StreamHandler(out)
    handler.setFormatter(HumanFormatter() if human else JsonFormatter())
    handler.addFilter(WhereAbouts(worker))
    handler.addFilter(is_news)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)


def setup_in_child(worker: str) -> None:
    """Has what tasks log in a child process say where it comes from; its worker logs the lines.

    Which lines are written is not changed: warnings, unless a task module has its own way.
    """
    if not logging.getLogger().handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(HumanFormatter())
        handler.addFilter(WhereAbouts(worker))
        logging.getLogger().addHandler(handler)


class WhereAbouts(logging.Filter):
    """Adds to each record which task it was written in, and which span."""

    def __init__(self, worker: str) -> None:
        super().__init__()
        self._worker = worker

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every record pass; what its caller passed as `extra` stands."""
        found: dict[str, object] = {}
        make = running.get(None)
        if make is not None:
            task = make()
            found |= {"task_id": task.task_id, "attempt": task.attempt, "worker": self._worker}
        # Never loaded here: where it is not, there are no spans.
        api: Any = sys.modules.get("opentelemetry.trace")
        if api is not None:
            span = api.get_current_span().get_span_context()
            if span.is_valid:
                found |= {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}
        for key, value in found.items():
            vars(record).setdefault(key, value)
        return True


def is_news(record: logging.LogRecord) -> bool:
    """Drops what gRPC calls an error of ours: that a reader left while a message was written."""
    if record.name != "grpc._cython.cygrpc" or not record.exc_info:
        return True
    kind = record.exc_info[0]
    return kind is None or kind.__name__ != "ExecuteBatchError"


class HumanFormatter(logging.Formatter):
    """Writes `12:30:01.250 INFO  name: message  key=value`; a traceback follows on lines below."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the record's line."""
        moment = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        words = "".join(f"  {key}={value}" for key, value in extras(record).items())
        line = f"{moment} {record.levelname:<7} {record.name}: {record.getMessage()}{words}"
        line = line.replace("\n", "\\n")
        trouble = _traceback(record)
        return f"{line}\n{trouble}" if trouble else line


class JsonFormatter(logging.Formatter):
    """Writes a JSON object a line: time, level, logger, message, the extra fields, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the record's line."""
        document: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key, value in extras(record).items():
            # A caller's own "level" must not hide the record's.
            document[f"{key}_" if key in document else key] = value
        trouble = _traceback(record)
        if trouble:
            document["traceback"] = trouble
        return json.dumps(document, default=str, ensure_ascii=False)


def extras(record: logging.LogRecord) -> dict[str, object]:
    """Returns what the caller passed as `extra`."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _traceback(record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info and record.exc_info[0] is not None:
        parts.append("".join(traceback.format_exception(*record.exc_info)).rstrip())
    elif record.exc_text:
        parts.append(record.exc_text)
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(parts)
