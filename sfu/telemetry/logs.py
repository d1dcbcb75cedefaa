"""Logging of the whole process: one line per record, short ids, never a token, SDP or address above debug."""

import json
import logging
import logging.config
import re
import sys
import time
from typing import Literal

Level = Literal["debug", "info", "warning", "error"]

_QUERY = re.compile(r"\?[^\s\"']*")
_TOKEN = re.compile(r"eyJ[\w-]{4,}\.[\w-]+\.[\w-]*")
"""A JWT begins with the base64 of `{"`, wherever it ends up."""


def redact(text: str) -> str:
    """Take query strings of request lines and anything that looks like a token out of a log line."""
    return _TOKEN.sub("<token>", text)


def without_query(text: str) -> str:
    """Take query strings out of a request line."""
    return _QUERY.sub("", text)


class _Redact(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        clean = redact(text)
        if record.name.startswith("uvicorn"):
            # uvicorn names accepted WebSockets with their whole path, and its access log does so too.
            clean = without_query(clean)
        if clean is not text:
            record.msg, record.args = clean, None
        return True


class TextFormatter(logging.Formatter):
    """For people: time (UTC), level, logger, message."""

    def __init__(self) -> None:
        line = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s"
        super().__init__(line, "%Y-%m-%dT%H:%M:%S")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """As `logging.Formatter.formatTime`, in UTC."""
        return time.strftime(datefmt or "%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))


class JsonFormatter(logging.Formatter):
    """For machines: one JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """As `logging.Formatter.format`."""
        fields: dict[str, object] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def configure(level: Level, *, as_json: bool) -> None:
    """Set up logging for the process, uvicorn's included. Everything goes to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    handler.addFilter(_Redact())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # At info uvicorn reports every request and every WebSocket; ours say the same with short ids.
    logging.getLogger("uvicorn.error").setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    logging.getLogger("uvicorn.access").setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    # Its debug output is every frame, with every SDP and token in it.
    logging.getLogger("websockets").setLevel(logging.WARNING)
