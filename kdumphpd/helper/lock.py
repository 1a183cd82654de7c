# SPDX-License-Identifier: GPL-2.0-or-later
"""One request at a time, and one that asks the loader: locks that nobody but root can hold."""

import fcntl
import os
import time
from pathlib import Path

from kdumphpd.runtime import ASKING, LOCK

PATIENCE = 10.0  # seconds; a request that takes longer than that is waited for by asking again
PAUSE = 0.05  # seconds


class Busy(Exception):  # noqa: N818 - a state of affairs
    """Another request is at work."""


class RootLock:
    """Taken when it is made, for as long as the process lives or until `release`. Raises Busy and OSError.

    flock(2) asks only for an open descriptor, so the file must not be readable for anybody else.
    """

    def __init__(self, path: Path, patience: float) -> None:
        end = time.monotonic() + patience
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        os.fchmod(self._fd, 0o600)
        while True:
            if self._taken():
                return
            if time.monotonic() >= end:
                os.close(self._fd)
                raise Busy(f"another request has been at work for {patience:g} s")
            time.sleep(PAUSE)

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let the next request in, even if this process hangs in the kernel and never ends."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        os.close(self._fd)


def request_lock(root: Path, patience: float = PATIENCE) -> RootLock:
    """Held while a request is served."""
    return RootLock(root / LOCK, patience)


def asking_lock(root: Path, patience: float) -> RootLock:
    """Held while the distribution's loader is asked, which may take minutes and needs no request to wait."""
    return RootLock(root / ASKING, patience)
