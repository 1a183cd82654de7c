# SPDX-License-Identifier: GPL-2.0-or-later
"""The log file that a loader writes to. It may lie on a disk that does not answer."""

import os
from pathlib import Path

from kdumphpd.load.run import TAIL, LoadFailed, bounded

LIMIT = 5.0  # seconds; what a log says is worth no more


def size(path: Path) -> int:
    """Bytes of a log file; 0 where there is none, or none that can be read."""
    try:
        return bounded(lambda: path.stat().st_size, LIMIT, str(path))
    except (OSError, LoadFailed):
        return 0


def said_since(path: Path, begin: int) -> str:
    """The last words in a log file after `begin` bytes, without the lines of a shell's trace ("+ ")."""

    def read() -> str:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(begin if begin <= size else 0, size - TAIL))  # shorter than before: it was rotated
            return file.read(TAIL).decode("utf-8", "replace")

    try:
        text = bounded(read, LIMIT, str(path))
    except (OSError, LoadFailed):
        return ""
    return "\n".join(line for line in text.splitlines() if not line.startswith("+ ")).strip()
