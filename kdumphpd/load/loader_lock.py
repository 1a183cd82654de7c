# SPDX-License-Identifier: GPL-2.0-or-later
"""The lock of a distribution's loader: whoever may open its file can hold it, and the loader waits for ever.

It is waited for briefly. Then the loader runs with another file in the lock's place, which is root's alone.
"""

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from kdumphpd import journal, runtime
from kdumphpd.load.run import LoadFailed

log = journal.logger()

PRIVATE = f"{runtime.FOLDER}/loader-lock"

PATIENCE = 5.0  # seconds
PAUSE = 0.1  # seconds


def properties(root: Path, lock: str, sleep: Callable[[float], None] = time.sleep) -> tuple[str, ...]:
    """Properties of the loader's transient unit. `lock` is an absolute path, or empty for none. Raises LoadFailed."""
    if not lock:
        return ()
    if not _becomes_free(root / lock.lstrip("/"), sleep):
        log.notice(
            f"{lock} has been held for {PATIENCE:g} s by another process (`lslocks` shows it): going on without it"
        )
    try:
        # Always: after this moment somebody may take it again.
        os.close(os.open(root / PRIVATE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise LoadFailed(f"cannot create /{PRIVATE}: {error.strerror}") from error
    return (f"BindPaths=/{PRIVATE}:{lock}",)


def _becomes_free(path: Path, sleep: Callable[[float], None]) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return True  # nobody has made it yet; or the loader says what is wrong with it
    try:
        for _ in range(round(PATIENCE / PAUSE)):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                sleep(PAUSE)
            else:
                return True
        return False
    finally:
        os.close(fd)
