# SPDX-License-Identifier: GPL-2.0-or-later
"""What root's part remembers from one request to the next, in /run: no longer than the image itself lasts.

Only root can write there. The listener sees whether an image is owed, and takes nothing else from it.

All of it is one page that is taken up once and then written in place, so that remembering needs no room later:
a /run that is full, by accident or by whoever may write there, neither hides a promise nor lifts a bound.
"""

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

FOLDER = "run/kdumphpd-rearm"

# Held by the request whose turn it is: one at a time sees to the image.
TURN = f"{FOLDER}/turn"

# Where the kernel keeps what we read (image/layout.py).
LAYOUT_CACHE = f"{FOLDER}/layout.json"

# The last good configuration, for as long as there is none that is right.
CONFIGURATION = f"{FOLDER}/configuration.json"

MEMORY = f"{FOLDER}/memory.json"
SIZE = 4096  # bytes; all fields together are far below


@dataclass
class Memo:
    """Everything that outlives a request."""

    # The promise to put back an image that we take down: given before the image is touched, kept once one is
    # loaded again, and by whoever starts next.
    owed: bool = False

    # A digest of what was still wrong with the image after a reload: another reload would not mend it.
    unmended: str = ""

    # The sequence number of the last of the kernel's complaints that was answered, -1 for none.
    answered: int = -1

    # Methods (reload/way.py) whose image was read as stale: another is tried before them.
    burnt: list[str] = dataclasses.field(default_factory=list)

    # The one reload that asks for the kernel's updates was done or tried.
    upgraded: bool = False

    # When the next reload is within the share of time that may pass without an image; of the monotonic clock.
    free_at: float = 0.0

    # A digest of System RAM when fadump was last registered, empty for "not by us".
    registered: str = ""


def read(root: Path) -> Memo:
    """What is remembered; nothing where there is no file. Raises OSError where it can't be read."""
    try:
        data = (root / MEMORY).read_bytes()
    except FileNotFoundError:
        return Memo()
    if not data.strip(b"\0"):
        return Memo()  # there was room for the name and not for the page
    try:
        known = Memo(**json.loads(data))
        well_formed = all(
            isinstance(getattr(known, field.name), type(getattr(Memo(), field.name)))
            for field in dataclasses.fields(Memo)
        )
    except (ValueError, TypeError, RecursionError):
        well_formed = False
    # What can't be understood may have been a promise, and keeping one that was not given costs least.
    return known if well_formed else Memo(owed=True)


def write(root: Path, memo: Memo) -> None:
    """Raises OSError, and then an image that is loaded must stay untouched."""
    page = json.dumps(dataclasses.asdict(memo)).encode().ljust(SIZE)
    if len(page) > SIZE:
        raise OSError(f"{len(page)} bytes are more than {root / MEMORY} may hold")
    # The listener may read it: it asks for an image that is owed.
    fd = os.open(root / MEMORY, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        os.posix_fallocate(fd, 0, SIZE)
        os.pwrite(fd, page, 0)
    finally:
        os.close(fd)


def is_owed(root: Path) -> bool:
    """Whether a reload of ours has begun and not ended with an image; where that can't be told, it may have."""
    try:
        return read(root).owed
    except OSError:
        return True


def digest(text: str) -> str:
    """A short name of `text`; empty for nothing."""
    return hashlib.sha256(text.encode()).hexdigest()[:32] if text else ""
