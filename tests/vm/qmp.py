# SPDX-License-Identifier: GPL-2.0-or-later
"""A client for QMP, QEMU's control protocol (docs/interop/qmp-spec in QEMU's sources)."""

import time
from typing import Any

from tests.vm.channel import Channel

ANSWER_S = 60.0
"""QEMU answers in milliseconds; much later it never will."""


class QmpError(Exception):
    """QEMU refused a command."""


class Qmp:
    """A connection past its handshake. `events` are those so far, oldest first."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.events: list[dict[str, Any]] = []
        channel.receive(time.monotonic() + ANSWER_S)  # the greeting
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        """Run a command (`_` in names of arguments stands for `-`) and return its value.

        Raises QmpError with QEMU's words, VmLost when no answer comes.
        """
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        self._channel.send({"execute": command, "arguments": named})
        deadline = time.monotonic() + ANSWER_S
        while True:
            answer = self._channel.receive(deadline)
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise QmpError(f"{command} {named}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def close(self) -> None:
        self._channel.close()
