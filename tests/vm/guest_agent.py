# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's end of agent.py: runs commands as root. Standard library only; build.py puts it into the image.

A request is a line of JSON, {"id", "command", "stdin"}; when the command has ended its answer is
{"id", "returncode", "stdout", "stderr"}. {"id", "stop": true} sends SIGTERM to what `id` started.
Debian's qemu-guest-agent would do, but it must be polled, and logs every poll to the journal under test.
"""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any, BinaryIO


class Server:
    """Any number of commands at once, each answered when it ends."""

    def __init__(self, answers: BinaryIO) -> None:
        self._answers = answers
        self._answering = threading.Lock()
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def handle(self, request: dict[str, Any]) -> None:
        """Start or stop a command."""
        if "stop" in request:
            if process := self._running.get(request["id"]):
                os.killpg(process.pid, signal.SIGTERM)
            return
        process = subprocess.Popen(
            ("/bin/sh", "-c", request["command"]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._running[request["id"]] = process
        threading.Thread(target=self._finish, args=(request, process), daemon=True).start()

    def _finish(self, request: dict[str, Any], process: "subprocess.Popen[bytes]") -> None:
        stdout, stderr = process.communicate(base64.b64decode(request["stdin"]))
        del self._running[request["id"]]
        answer = {
            "id": request["id"],
            "returncode": process.returncode,
            "stdout": stdout.decode(errors="replace"),
            "stderr": stderr.decode(errors="replace"),
        }
        with self._answering:
            self._answers.write(json.dumps(answer).encode() + b"\n")
            self._answers.flush()


def main(port: str) -> None:
    """Serve the virtio port at path `port` until the other end closes it."""
    descriptor = os.open(port, os.O_RDWR)
    server = Server(os.fdopen(os.dup(descriptor), "wb"))
    for line in os.fdopen(descriptor, "rb"):
        server.handle(json.loads(line))


if __name__ == "__main__":
    main(sys.argv[1])
