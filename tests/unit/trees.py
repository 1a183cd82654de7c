# SPDX-License-Identifier: GPL-2.0-or-later
"""Small trees of files that stand for /sys, /run and /etc, and who opens what in them."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from kdumphpd.runtime import FOLDER

CPU_HOTPLUG = "sys/devices/system/cpu/crash_hotplug"
MEMORY_HOTPLUG = "sys/devices/system/memory/crash_hotplug"
CRASH_LOADED = "sys/kernel/kexec/crash_loaded"
OLD_CRASH_LOADED = "sys/kernel/kexec_crash_loaded"


def put(root: Path, files: dict[str, str]) -> None:
    """Write files below `root`, each in a folder that is made where it is missing."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def kernel(root: Path, loaded: str = "1\n", cpu: str | None = "1\n", memory: str | None = "1\n") -> Path:
    """A kernel's answers; None: the attribute does not exist."""
    put(root, {CRASH_LOADED: loaded})
    for path, text in ((CPU_HOTPLUG, cpu), (MEMORY_HOTPLUG, memory)):
        if text is not None:
            put(root, {path: text})
    return root


def helper_folder(root: Path) -> Path:
    """A machine on which the helper can work: its folder, and a kernel that has said nothing."""
    put(
        root,
        {"dev/kmsg": "", "sys/devices/system/cpu/present": "0\n", "proc/iomem": "00001000-3fffffff : System RAM\n"},
    )
    (root / FOLDER).mkdir(parents=True)
    return kernel(root)


_listeners: list[list[str]] = []
_installed: list[bool] = []  # an audit hook can't be taken away again


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str):
        for listener in _listeners:
            listener.append(arguments[0])


@contextlib.contextmanager
def opened(root: Path) -> Iterator[list[str]]:
    """The paths below `root` that are opened meanwhile, in order. An audit hook sees them all (sys.addaudithook)."""
    if not _installed:
        _installed.append(True)
        sys.addaudithook(_audit)
    found: list[str] = []
    everything: list[str] = []
    _listeners.append(everything)
    try:
        yield found
    finally:
        _listeners.pop()
        found += [path.removeprefix(f"{root}/") for path in everything if path.startswith(f"{root}/")]
