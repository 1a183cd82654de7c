# SPDX-License-Identifier: GPL-2.0-or-later
"""structlog into journald, with structured fields and MESSAGE_IDs; console lines on a terminal.

structlog has no journal renderer. Ours: event → MESSAGE, level → PRIORITY, `id` → MESSAGE_ID, every other key →
KDUMPHPD_<KEY>, so that `journalctl KDUMPHPD_OUTCOME=reloaded` finds what it should.
"""

import os
import sys
import syslog
from collections.abc import MutableMapping
from typing import Any, TextIO
from uuid import UUID

import structlog
from systemd import journal

PRIORITIES = {
    "critical": syslog.LOG_CRIT,
    "error": syslog.LOG_ERR,
    "warning": syslog.LOG_WARNING,
    "info": syslog.LOG_INFO,
    "debug": syslog.LOG_DEBUG,
}


def configure(identifier: str, stream: TextIO = sys.stderr) -> None:
    """Log to journald where systemd has connected us to it, else to `stream`."""
    if _connected_to_journal(stream):
        structlog.configure(
            processors=[structlog.processors.format_exc_info, journal_fields],
            logger_factory=lambda *_: _JournalLogger(identifier),
            cache_logger_on_first_use=True,
        )
        return
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.processors.format_exc_info,
            _without_ids,
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event=0),
        ],
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )


def _connected_to_journal(stream: TextIO) -> bool:
    """systemd.exec(5), JOURNAL_STREAM: device and inode of the stream that it connected to the journal."""
    try:
        stat = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


def journal_fields(_logger: object, method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """A structlog processor: the event as journal fields (upper case, or journald drops them silently)."""
    fields: dict[str, Any] = {"PRIORITY": str(PRIORITIES.get(method, syslog.LOG_INFO))}
    message = str(event.pop("event", ""))
    if (message_id := event.pop("id", None)) is not None:
        fields["MESSAGE_ID"] = UUID(str(message_id)).hex
    if (exception := event.pop("exception", None)) is not None:
        message = f"{message}\n{exception}"
    fields["MESSAGE"] = message
    for key, value in event.items():
        fields[f"KDUMPHPD_{key.upper()}"] = _text(value)
    return {"fields": fields}


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)


class _JournalLogger:
    """The last link of structlog's chain: one call a level, all the same."""

    def __init__(self, identifier: str) -> None:
        self._identifier = identifier

    def _send(self, fields: dict[str, str]) -> None:
        # The identifier would be the interpreter's name; CODE_* would be this line's.
        journal.sendv(f"SYSLOG_IDENTIFIER={self._identifier}", *(f"{key}={value}" for key, value in fields.items()))

    debug = info = warning = error = critical = exception = _send


def _without_ids(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("id", None)
    return event
