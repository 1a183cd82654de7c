# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for a file lock, for a bounded time."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

PAUSE = 0.1  # seconds


@contextlib.contextmanager
def locked(path: Path, timeout: float) -> Iterator[None]:
    """Hold an exclusive flock(2) on `path`, as flock(1) does; the file is made where there is none.

    Raises TimeoutError where it does not become free within `timeout` seconds, OSError where it can't be opened.
    """
    end = time.monotonic() + timeout
    with path.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > end:
                    raise TimeoutError(f"somebody held {path} for {timeout:g} s") from error
                time.sleep(PAUSE)
        yield
