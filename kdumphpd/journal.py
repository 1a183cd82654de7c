# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages into journald with structured fields and MESSAGE_IDs; console lines on a terminal.

`id` becomes MESSAGE_ID, every other keyword KDUMPHPD_<KEY>, so that `journalctl KDUMPHPD_OUTCOME=reloaded` finds what
it should. structlog renders for a terminal and is imported only there: it brings asyncio with it, 10 MB that the
listener would hold for as long as the machine runs.
"""

import os
import sys
import syslog
import traceback
from collections.abc import Callable, Mapping
from typing import Any, TextIO
from uuid import UUID

from kdumphpd.journald import Journald

PRIORITIES = {
    "error": syslog.LOG_ERR,
    "warning": syslog.LOG_WARNING,
    "notice": syslog.LOG_NOTICE,
    "info": syslog.LOG_INFO,
    "debug": syslog.LOG_DEBUG,
}

Send = Callable[[str, str, Mapping[str, Any]], None]
"""Level, message, keywords."""


class Logger:
    """Sends each message to wherever configure() has directed all of them."""

    def say(self, level: str, message: str, **keywords: Any) -> None:
        """`level`: a key of PRIORITIES."""
        _send(level, message, keywords)

    def error(self, message: str, **keywords: Any) -> None:
        _send("error", message, keywords)

    def warning(self, message: str, **keywords: Any) -> None:
        _send("warning", message, keywords)

    def notice(self, message: str, **keywords: Any) -> None:
        _send("notice", message, keywords)

    def info(self, message: str, **keywords: Any) -> None:
        _send("info", message, keywords)

    def debug(self, message: str, **keywords: Any) -> None:
        _send("debug", message, keywords)

    def exception(self, message: str, **keywords: Any) -> None:
        """An error with the traceback of the exception that is being handled: for bugs, not for operators."""
        _send("error", f"{message}\n{traceback.format_exc()}", keywords)


def logger() -> Logger:
    return Logger()


def configure(identifier: str, stream: TextIO = sys.stderr) -> None:
    """Log to journald where systemd has connected us to it, else to `stream`."""
    global _send  # one process has one journal
    _send = _journal(identifier) if _connected_to_journal(stream) else _console(stream)


def _connected_to_journal(stream: TextIO) -> bool:
    """systemd.exec(5), JOURNAL_STREAM: device and inode of the stream that it connected to the journal."""
    try:
        stat = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


def journal_fields(level: str, message: str, keywords: Mapping[str, Any]) -> dict[str, str]:
    """The fields of an entry, in upper case: journald drops others silently."""
    entry = {"MESSAGE": message, "PRIORITY": str(PRIORITIES[level])}
    for key, value in keywords.items():
        if key == "id":
            entry["MESSAGE_ID"] = UUID(str(value)).hex
        else:
            entry[f"KDUMPHPD_{key.upper()}"] = f"{value:.3f}" if isinstance(value, float) else str(value)
    return entry


def _journal(identifier: str) -> Send:
    journald = Journald()

    def send(level: str, message: str, keywords: Mapping[str, Any]) -> None:
        # The identifier would be the interpreter's name.
        journald.send({"SYSLOG_IDENTIFIER": identifier, **journal_fields(level, message, keywords)})

    return send


def _console(stream: TextIO) -> Send:
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event=0),
        ],
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    log = structlog.get_logger()

    def send(level: str, message: str, keywords: Mapping[str, Any]) -> None:
        method = "info" if level == "notice" else level
        getattr(log, method)(message, **{key: str(value) for key, value in keywords.items() if key != "id"})

    return send


def _discard(level: str, message: str, keywords: Mapping[str, Any]) -> None:
    """Before configure(), as in tests: nobody listens."""


_send: Send = _discard
