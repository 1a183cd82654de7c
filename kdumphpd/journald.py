# SPDX-License-Identifier: GPL-2.0-or-later
"""A connection to journald that never blocks for long (systemd's "Native Journal Protocol").

sd_journal_send(3) waits without a limit for a journald that does not read, and python3-systemd holds the interpreter
meanwhile: every thread and signal handler waits too, and a reload that has taken the image down with it.
"""

import socket
from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"

PATIENCE = 1.0  # seconds; after one message that took longer the next ones are not waited for at all

# One datagram takes no more than the send buffer; a value longer than that says nothing to anybody.
SEND_BUFFER = 1 << 20  # bytes
MAX_VALUE = 48 << 10  # bytes


class Journald:
    """`send` drops what journald does not take, and says later how much that was."""

    def __init__(self, path: str = SOCKET) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._dropped = 0

    def send(self, entry: Mapping[str, str]) -> None:
        """Send the fields of one entry. Names in upper case; never raises, never waits longer than PATIENCE."""
        if self._dropped:
            text = f"{self._dropped} messages are missing here: the journal did not take them"
            note = {"MESSAGE": text, "PRIORITY": "4", "SYSLOG_IDENTIFIER": entry.get("SYSLOG_IDENTIFIER", "kdumphpd")}
            if not self._taken(note, 0.0):
                self._dropped += 1
                return
            self._dropped = 0
        self._dropped += not self._taken(entry, PATIENCE)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _taken(self, entry: Mapping[str, str], patience: float) -> bool:
        datagram = encode(entry)
        for _ in range(2):  # one that was restarted without its socket unit is refused once
            try:
                if self._socket is None:
                    self._socket = _connected(self._path)
                self._socket.settimeout(patience)
                self._socket.send(datagram)
            except (TimeoutError, BlockingIOError):
                return False
            except OSError:
                self.close()
            else:
                return True
        return False


def encode(entry: Mapping[str, str]) -> bytes:
    """One datagram: "NAME=value", and where the value has several lines its length as 64 bits before it."""
    pieces = []
    for name, text in entry.items():
        value = text.encode(errors="replace")
        if len(value) > MAX_VALUE:
            value = value[:MAX_VALUE].decode(errors="ignore").encode()  # no half character: journalctl shows a blob
        if b"\n" in value:
            pieces.append(name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n")
        else:
            pieces.append(name.encode() + b"=" + value + b"\n")
    return b"".join(pieces)


def _connected(path: str) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        connected.connect(path)
    except OSError:
        connected.close()
        raise
    return connected
