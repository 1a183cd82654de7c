# SPDX-License-Identifier: GPL-2.0-or-later
"""Noticing that somebody else has loaded or unloaded an image: the distribution's unit, its loader, kdumphpctl.

Polled: crash_loaded is sysfs, which inotify(7) says nothing of, and systemd's links come and go with every unit of
the machine. Some ten calls of stat(2) each PERIOD cost microseconds.
"""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kdumphpd.kernel.loaded import armed_now, image_loaded
from kdumphpd.runtime import RECORD

PERIOD = 3.0  # seconds
PATIENCE = 1.0  # seconds

# systemd makes such a link, with the InvocationID, whenever it starts a unit, and takes it away when that has ended.
INVOCATIONS = "run/systemd/units/invocation:"
UNITS = ("kdump-tools.service", "kdump.service", "kdump-early.service", "kdump-commandline.service")

# What loaders write when they load: kdumpctl truncates its lock, whatever it is called for. The last one is our
# helper's: an operator's `kdumphpctl rearm`.
FILES = ("var/crash/kexec_cmd", "var/log/kdump.log", "run/lock/kdump", "run/udev/rules.d", RECORD)
# openSUSE's load.sh copies its rule to /run/udev/rules.d, and kdumphpd-rules.service has removed it before anybody
# looks. Elsewhere that folder says nothing.
ONLY_WITH = {"run/udev/rules.d": "usr/lib/kdump/70-kdump.rules"}


Stamp = tuple[int, int, int] | None
"""Inode, size and time of a file; None where there is none."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What there was at one moment. `loaded` None: that can't be told."""

    loaded: bool | None
    units: tuple[str, ...]
    files: tuple[Stamp, ...]


class Watch:
    """Looks at one machine. The loaders' files may be on a server or a disk that is gone: `patience` is spent once.

    They are then as they were, until it answers again.
    """

    def __init__(self, root: Path, patience: float = PATIENCE) -> None:
        self._root = root
        self._patience = patience
        self._files: tuple[Stamp, ...] = (None,) * len(FILES)
        self._thread: threading.Thread | None = None

    def look(self) -> Marks:
        units = tuple(_link(self._root, unit) for unit in UNITS)
        if self._thread is None:
            self._thread = threading.Thread(target=self._read_files, name="watch", daemon=True)
            self._thread.start()
            self._thread.join(self._patience)
        if not self._thread.is_alive():
            self._thread = None
        return Marks(_loaded(self._root), units, self._files)

    def _read_files(self) -> None:
        self._files = tuple(_stamp(self._root, path) for path in FILES)


def seen_of_loader(before: Marks, now: Marks) -> Marks:
    """`before`, with the files as they are now that a loader writes which is only asked. Ours it does not write."""
    return Marks(before.loaded, before.units, (*now.files[:-1], before.files[-1]))


class Difference(NamedTuple):
    """What somebody else has done in between, in words; whether that was certainly a load or an unload."""

    why: str
    certain: bool


def difference(before: Marks, now: Marks) -> Difference | None:
    """Compare; None where nobody has done anything."""
    for unit, (earlier, later) in zip(UNITS, zip(before.units, now.units, strict=True), strict=True):
        if earlier != later:
            return Difference(f"{unit} was {'started' if later else 'stopped'}", certain=True)
    if now.loaded and before.loaded is False:
        return Difference("an image was loaded by somebody else", certain=True)
    if before.loaded and now.loaded is False:
        return Difference("the image was unloaded", certain=False)
    for path, (first, second) in zip(FILES, zip(before.files, now.files, strict=True), strict=True):
        if first != second and second is not None:
            return Difference(f"/{path} was written", certain=False)
    return None


def confirmed(root: Path) -> bool | None:
    """Whether an image is loaded, an instant's absence excepted; None where that can't be told."""
    try:
        return image_loaded(root)
    except OSError:
        return None


def _loaded(root: Path) -> bool | None:
    try:
        return armed_now(root) or False
    except OSError:
        return None


def _link(root: Path, unit: str) -> str:
    try:
        return str((root / f"{INVOCATIONS}{unit}").readlink())
    except OSError:
        return ""


def _stamp(root: Path, path: str) -> Stamp:
    if path in ONLY_WITH and not (root / ONLY_WITH[path]).exists():
        return None
    try:
        status = (root / path).stat()
    except OSError:
        return None
    # /var/crash is for everybody where its dumps are: only root's files tell of a load.
    if status.st_uid != root.stat().st_uid:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
