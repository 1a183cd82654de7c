# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the kernel's small files below a root that a test can replace."""

from pathlib import Path

# The kernel's own limit: a sysfs attribute is at most one page, 64 KiB at the largest.
MAX_ATTRIBUTE = 65536

BOOT_ID = "proc/sys/kernel/random/boot_id"
BLOCK_SIZE = "sys/devices/system/memory/block_size_bytes"


def read_attribute(root: Path, path: str) -> str | None:
    """The stripped text of sysfs attribute `path` (without leading slash) below `root`, None where absent.

    Raises OSError for every other reason why it can't be read.
    """
    try:
        with (root / path).open("rb", buffering=0) as file:
            data = file.read(MAX_ATTRIBUTE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return data.decode("ascii", "replace").strip()


def read_flag(root: Path, *paths: str) -> bool | None:
    """The first of `paths` that exists, as the kernel's 0 or 1; None where none does.

    Raises OSError where it can't be read, or holds anything else.
    """
    for path in paths:
        text = read_attribute(root, path)
        if text is not None:
            if text not in ("0", "1"):
                raise OSError(f"/{path} holds {text[:40]!r}; expected 0 or 1")
            return text == "1"
    return None


def block_size(root: Path) -> int | None:
    """Bytes of one memory block (an LMB on PowerVM); None where the kernel has no memory hotplug or hides it.

    The attribute is hexadecimal without a prefix.
    """
    try:
        text = read_attribute(root, BLOCK_SIZE)
        return int(text, 16) or None if text else None
    except (OSError, ValueError):
        return None  # then all System RAM counts as online


def boot_id(root: Path) -> str:
    """The running boot's, as random(4) writes it; empty where it can't be read."""
    try:
        return (root / BOOT_ID).read_text().strip()
    except OSError:
        return ""
