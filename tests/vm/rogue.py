# SPDX-License-Identifier: GPL-2.0-or-later
"""A listener gone bad, run in the guest as the listener's user: it may connect, and does nothing else. Standard
library only. Argument: for how many seconds. Prints how many connections were made and how many were refused.
"""

import contextlib
import random
import socket
import sys
import time

SOCKET = "/run/kdumphpd-helper.socket"
HELD = 32  # connections that are kept open and never read

REQUESTS = (
    *(b"verify\n", b"check\n", b"update\n", b"update-unsettled\n", b"configuration\n", b"rearm-now\n"),
    *(b"", b"che", b"check", b"\n", b"\0" * 4096, b"check check\n", b"reboot\n", b"x" * 200_000, b"\xff\xfe\n"),
)


def main(seconds: float) -> None:
    made, refused = 0, 0
    held: list[socket.socket] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(1)
            connection.connect(SOCKET)
            made += 1
            # These cost most.
            connection.sendall(random.choice((b"update\n", b"check\n", random.choice(REQUESTS))))
        except OSError:  # hung up on, or the queue is full
            refused += 1
        held.append(connection)
        while len(held) > random.choice((0, HELD)):
            with contextlib.suppress(OSError):
                held.pop(0).close()
    print(made, refused)


if __name__ == "__main__":
    main(float(sys.argv[1]))
