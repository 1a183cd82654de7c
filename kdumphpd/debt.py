# SPDX-License-Identifier: GPL-2.0-or-later
"""The promise to put back an image that we take down, kept across crashes and restarts of ours.

Root's part writes the marker before it touches the image and removes it once an image is loaded again. It lies in
/run, as the image does not survive a boot either; the listener can see it, and only root can make it.
"""

from pathlib import Path

MARKER = "run/kdumphpd-rearm/unfinished"


def is_owed(root: Path) -> bool:
    return (root / MARKER).exists()


def take_on(root: Path) -> None:
    """Promise. Raises OSError, and then the image must stay untouched."""
    (root / MARKER).touch(mode=0o644)


def settle(root: Path) -> None:
    (root / MARKER).unlink(missing_ok=True)
