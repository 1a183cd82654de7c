# SPDX-License-Identifier: GPL-2.0-or-later
"""Is a kdump image loaded? Reading this takes no lock in the kernel.

Source: Documentation/ABI/testing/sysfs-kernel-kexec-kdump.
"""

import time
from collections.abc import Callable
from pathlib import Path

from kdumphpd.kernel.files import read_attribute, read_flag

# New home first; the old one is a compat link there, and the only one on older kernels.
CRASH_LOADED = ("sys/kernel/kexec/crash_loaded", "sys/kernel/kexec_crash_loaded")
ELFCOREHDR_SIZE = ("sys/kernel/kexec/crash_elfcorehdr_size", "sys/kernel/crash_elfcorehdr_size")

# While it updates the image the kernel takes it out of sight for an instant (xchg(&kexec_crash_image, NULL)
# in crash_handle_hotplug_event), so "not loaded" counts only when it stays so.
RECHECKS = 3
RECHECK_PAUSE = 0.1  # seconds


def crash_loaded(root: Path) -> bool | None:
    """What the kernel says right now; None where it has no kexec. Raises OSError where it can't be read."""
    return read_flag(root, *CRASH_LOADED)


def image_loaded(root: Path, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Whether an image is loaded, an instant's absence excepted. Raises OSError."""
    for attempt in range(RECHECKS):
        if attempt:
            sleep(RECHECK_PAUSE)
        loaded = crash_loaded(root)
        if loaded is None:
            return False
        if loaded:
            return True
    return False


def elfcorehdr_is_sized(root: Path) -> bool:
    """Whether the kernel tells the size that `kexec --hotplug` needs to leave room for (else kexec dies)."""
    return any(read_attribute(root, path) is not None for path in ELFCOREHDR_SIZE)
