# SPDX-License-Identifier: GPL-2.0-or-later
"""JSON, one object a line, over a socket: what QMP and the agent in the guest both speak."""

import json
import socket
import time
from typing import Any


class VmLost(Exception):  # noqa: N818 - a state of affairs, no error of the caller
    """QEMU has died, or the guest has stopped answering. It says nothing about what was being tested."""

    def __str__(self) -> str:
        return f"the VM was lost: {super().__str__()}"


class NoAnswer(VmLost):
    """The other end is there, and has said nothing for as long as it was given."""


class Channel:
    """One end of a line-by-line JSON conversation; every wait on it is bounded."""

    def __init__(self, sock: socket.socket, peer: str) -> None:
        self._sock = sock
        self._peer = peer
        self._buffer = b""

    def send(self, message: dict[str, Any]) -> None:
        """Send one object. Raises VmLost where nobody reads it within a minute."""
        self._sock.settimeout(60)
        try:
            self._sock.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise VmLost(f"{self._peer} takes no more commands: {error}") from error

    def receive(self, deadline: float) -> dict[str, Any]:
        """Return the next object. Raises NoAnswer at `deadline` (time.monotonic), VmLost where the peer is gone."""
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise NoAnswer(f"{self._peer} does not answer")
            self._sock.settimeout(left)
            try:
                data = self._sock.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError as error:
                raise VmLost(f"{self._peer} is gone: {error}") from error
            if not data:
                raise VmLost(f"{self._peer} is gone")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        self._sock.close()
