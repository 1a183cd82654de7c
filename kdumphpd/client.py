# SPDX-License-Identifier: GPL-2.0-or-later
"""The other end of kdumphpd-helper.socket: asking the helper for one word, and taking what it answers."""

import contextlib
import select
import socket
import time
from pathlib import Path

from kdumphpd.protocol import MAX_LINE, Progress, ProtocolError, Request, Result, decode
from kdumphpd.runtime import SOCKET

CONNECT_TIMEOUT = 10.0  # seconds; systemd accepts as soon as its queue has room
SEE = "see journalctl -u 'kdumphpd-helper@*'"


class HelperUnavailable(Exception):  # noqa: N818 - a state of affairs, not a mistake
    """The helper gave no result; the message says what happened and where to look."""


class Conversation:
    """One request. `receive` never blocks where `fileno` is readable. All of it raises HelperUnavailable.

    systemd starts a helper as soon as somebody has connected. It waits REQUEST_TIMEOUT seconds for the request.
    """

    def __init__(self, root: Path) -> None:
        self._path = path = root / SOCKET
        self._rest = b""
        self.connected = time.monotonic()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.settimeout(CONNECT_TIMEOUT)
            self._socket.connect(str(path))
        except OSError as error:
            raise self._unavailable(error) from error

    def request(self, request: Request) -> None:
        try:
            self._socket.sendall(f"{request}\n".encode())
        except OSError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: OSError) -> HelperUnavailable:
        self._socket.close()
        return HelperUnavailable(
            f"cannot talk to the helper through {self._path}: {error.strerror or error}; "
            "see systemctl status kdumphpd-helper.socket"
        )

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> list[Progress | Result]:
        """What has arrived; the last one is a Result where that is among it."""
        try:
            data = self._socket.recv(MAX_LINE)
        except OSError as error:
            raise HelperUnavailable(f"the helper hung up without a result ({error.strerror}); {SEE}") from error
        if not data:
            raise HelperUnavailable(
                f"the helper hung up without a result: it was killed, or too many ask at once; {SEE}"
            )
        *lines, self._rest = (self._rest + data).split(b"\n")
        try:
            if len(self._rest) > MAX_LINE:
                raise ProtocolError("a line without end")
            return [decode(line) for line in lines]
        except ProtocolError as error:
            raise HelperUnavailable(f"the helper gave an answer that is none: {error}") from error

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()


def ask(root: Path, request: Request, patience: float) -> Result:
    """The result of `request`, in at most `patience` seconds. Raises HelperUnavailable."""
    end = time.monotonic() + patience
    with contextlib.closing(Conversation(root)) as conversation:
        conversation.request(request)
        while (left := end - time.monotonic()) > 0:
            if not select.select([conversation], [], [], left)[0]:
                break
            for message in conversation.receive():
                if isinstance(message, Result):
                    return message
    raise HelperUnavailable(f"the helper gave no result within {patience:g} s; {SEE}")
