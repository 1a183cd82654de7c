# SPDX-License-Identifier: GPL-2.0-or-later
"""Built once, used by many: directories named by what went into them, whole or absent."""

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

KEEP_S = 14 * 24 * 3600
"""An entry that no run has used for so long is removed when its successor is made."""


def cache_root() -> Path:
    """Where images and snapshots outlive the checkout."""
    if path := os.environ.get("KDUMPHPD_CACHE"):
        return Path(path)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "kdumphpd"


def key(*parts: object) -> str:
    """Sixteen hexadecimal digits that change with any of `parts`."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


def produce(parent: Path, name: str, version: str, make: Callable[[Path], None]) -> Path:
    """Return parent/NAME@VERSION, calling `make(directory)` to fill it where it does not exist yet.

    `make` works on a directory beside it, which gets its name when it is complete: a build that was
    interrupted is never taken for a whole one. Of several processes one builds and the others wait.
    """
    parent.mkdir(parents=True, exist_ok=True)
    target = parent / f"{name}@{version}"
    with _locked(parent / f".{name}.lock"):
        if not target.is_dir():
            _forget(parent, name)
            partial = Path(tempfile.mkdtemp(prefix=f".{name}@", dir=parent))
            try:
                partial.chmod(0o755)  # an unprivileged mmdebstrap enters it as another user
                make(partial)
                partial.rename(target)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
        os.utime(target)
    return target


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _forget(parent: Path, name: str) -> None:
    """Remove what killed builds of `name` left, and its versions that have long been out of use."""
    for stale in parent.glob(f".{name}@*"):
        shutil.rmtree(stale, ignore_errors=True)
    for old in parent.glob(f"{name}@*"):
        if old.stat().st_mtime < time.time() - KEEP_S:
            shutil.rmtree(old, ignore_errors=True)
