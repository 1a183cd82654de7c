# SPDX-License-Identifier: GPL-2.0-or-later
"""What root's part remembers from one request to the next, in /run: no longer than the image itself lasts.

Only root can write there. The listener sees whether a promise is open, and takes nothing else from it.
"""

from pathlib import Path

FOLDER = "run/kdumphpd-rearm"

# Held by the request whose turn it is: one at a time sees to the image.
TURN = f"{FOLDER}/turn"

# Where the kernel keeps what we read (image/layout.py).
LAYOUT_CACHE = f"{FOLDER}/layout.json"

# The promise to put back an image that we take down: written before the image is touched, removed once one is
# loaded again, and kept by whoever starts next.
PROMISE = f"{FOLDER}/unfinished"

# What was still wrong with the image after a reload: another reload would not mend it.
UNMENDED = f"{FOLDER}/unmended"

# The number of the last of the kernel's complaints that a reload or a look has answered.
ANSWERED = f"{FOLDER}/answered"


def is_owed(root: Path) -> bool:
    """Whether a reload of ours has begun and not ended with an image."""
    return (root / PROMISE).exists()


def promise(root: Path) -> None:
    """Raises OSError, and then the image must stay untouched."""
    (root / PROMISE).touch(mode=0o644)


def settle(root: Path) -> None:
    (root / PROMISE).unlink(missing_ok=True)


def unmended(root: Path) -> str:
    """What the last reload left wrong, in words; empty for nothing."""
    return _read(root / UNMENDED)


def set_unmended(root: Path, words: str) -> None:
    _write(root / UNMENDED, words)


def answered(root: Path) -> int:
    """The sequence number of the last answered complaint, -1 for none."""
    text = _read(root / ANSWERED)
    return int(text) if text.isdecimal() else -1


def set_answered(root: Path, sequence: int) -> None:
    _write(root / ANSWERED, str(sequence))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str) -> None:
    if text:
        path.write_text(text)
    else:
        path.unlink(missing_ok=True)
