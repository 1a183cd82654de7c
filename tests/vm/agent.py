# SPDX-License-Identifier: GPL-2.0-or-later
"""A root shell in the guest, without a network: our end of guest_agent.py, over virtio-serial."""

import base64
import itertools
import shlex
import time
from dataclasses import dataclass
from typing import Any

from tests.vm.channel import Channel, NoAnswer, VmLost

ALIVE_S = 60.0
"""For a command that does nothing, in an emulated guest that may be busy loading an image."""

ASK_AGAIN_S = 5.0


@dataclass(frozen=True)
class Completed:
    """How a command ended. `returncode` is negative for a signal."""

    stdout: str
    stderr: str
    returncode: int


class CommandFailed(AssertionError):  # noqa: N818 - it failed, nothing erred
    """A command in the guest ended in an exit code other than 0: a failure of the scenario."""

    def __init__(self, command: str, completed: Completed) -> None:
        self.command = command
        self.completed = completed
        super().__init__(
            f"exit code {completed.returncode}: {command}\n{completed.stdout}{completed.stderr}".rstrip()
        )


class CommandTimeout(AssertionError):  # noqa: N818
    """A command in the guest took longer than it may, while the guest itself still answers."""


class Agent:
    """Commands as root, and files."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._ids = itertools.count(time.monotonic_ns())  # no answer to an earlier process is taken for ours
        self._answers: dict[int, Completed] = {}

    def start(self, command: str, stdin: bytes = b"") -> "Job":
        """Start a line of /bin/sh as root, and return at once."""
        number = next(self._ids)
        self.send({"id": number, "command": command, "stdin": base64.b64encode(stdin).decode()})
        return Job(self, command, number)

    def run(self, command: str, timeout: float = 60, *, check: bool = True, stdin: bytes = b"") -> Completed:
        """Run a line of /bin/sh as root to its end; see Job.wait."""
        return self.start(command, stdin).wait(timeout, check=check)

    def write_file(self, path: str, content: bytes | str, mode: int = 0o644) -> None:
        """Create or replace a file, and the directories above it."""
        name = shlex.quote(path)
        script = f"mkdir -p $(dirname {name}) && cat > {name} && chmod {mode:o} {name}"
        self.run(script, stdin=content.encode() if isinstance(content, str) else content)

    def read_file(self, path: str) -> str:
        """Return what a file says, also one of /proc or /sys. Raises CommandFailed."""
        return self.run(f"cat -- {shlex.quote(path)}").stdout

    def check_alive(self, timeout: float = ALIVE_S) -> None:
        """Raise VmLost unless the agent answers within `timeout` seconds."""
        self.collect(self.start("true").number, time.monotonic() + timeout)

    def wait_for(self, command: str, timeout: float) -> None:
        """Ask a guest that boots until `command` succeeds there. Raises VmLost after `timeout` seconds.

        What is sent while no kernel listens is lost: a firmware that knows virtio-serial takes it for keys pressed.
        """
        deadline = time.monotonic() + timeout
        while True:
            asked = self.start(command)
            try:
                if self.collect(asked.number, time.monotonic() + ASK_AGAIN_S).returncode == 0:
                    return
            except NoAnswer:
                if time.monotonic() > deadline:
                    raise

    def send(self, request: dict[str, Any]) -> None:
        """Send what guest_agent.py understands."""
        self._channel.send(request)

    def collect(self, number: int, deadline: float) -> Completed:
        """Wait for the answer to request `number`, keeping others for those who will ask. Raises VmLost."""
        while number not in self._answers:
            answer = self._channel.receive(deadline)
            done = Completed(answer["stdout"], answer["stderr"], answer["returncode"])
            self._answers[answer["id"]] = done
        return self._answers.pop(number)

    def close(self) -> None:
        self._channel.close()


@dataclass(frozen=True)
class Job:
    """A command that runs in the guest."""

    agent: Agent
    command: str
    number: int

    def wait(self, timeout: float = 60, *, check: bool = True) -> Completed:
        """Wait at most `timeout` seconds for it to end.

        Raises CommandFailed (unless `check` is false), CommandTimeout, VmLost.
        """
        try:
            completed = self.agent.collect(self.number, time.monotonic() + timeout)
        except VmLost:
            self.agent.check_alive()
            raise CommandTimeout(f"still running after {timeout:.0f} s: {self.command}") from None
        if check and completed.returncode != 0:
            raise CommandFailed(self.command, completed)
        return completed

    def stop(self) -> None:
        """Send SIGTERM to the command and whatever it has started; `wait` then returns soon."""
        self.agent.send({"id": self.number, "stop": True})
