"""Logs: one JSON object per line, with the job's id; never pixels, never tokens."""

from __future__ import annotations

import json
import logging
import logging.handlers
import traceback
from datetime import datetime, timezone
from pathlib import Path

_BYTES, _FILES = 5_000_000, 3


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        line = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "job": getattr(record, "job", None),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps({name: value for name, value in line.items() if value is not None})


def configure(folder: Path, name: str) -> None:
    """Log to FOLDER/log/NAME.jsonl; only for entry points."""
    path = folder / "log" / f"{name}.jsonl"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=_BYTES, backupCount=_FILES, encoding="utf-8", delay=True
    )
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    # On a full disk, errors of the log itself must not fill the console.
    logging.raiseExceptions = False
