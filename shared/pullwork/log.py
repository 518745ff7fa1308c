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
from typing import Final, Literal, TextIO, get_args

from pullwork.errors import SettingsError

# For the fields `log_level` and `log_format` of a service's settings.
Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "human", "json"]

# What every record has; whatever else it carries came in by `extra`.
_STANDARD: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"}
)


def setup(level: str = "info", format: Format = "auto", stream: TextIO | None = None) -> None:
    """Replaces the root logger's handlers by one that writes to `stream` (stdout by default).

    Raises SettingsError for a level or format that does not exist.
    """
    if level.lower() not in get_args(Level):
        raise SettingsError(f"no log level {level!r}: use one of {', '.join(get_args(Level))}")
    if format not in get_args(Format):
        raise SettingsError(f"no log format {format!r}: use one of {', '.join(get_args(Format))}")
    out = sys.stdout if stream is None else stream
    human = format == "human" or (format == "auto" and out.isatty())
    handler = logging.StreamHandler(out)
    handler.setFormatter(HumanFormatter() if human else JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)


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
