# SPDX-License-Identifier: GPL-2.0-or-later
"""Is a kdump image loaded, or fadump registered? Reading this takes no lock in the kernel.

Source: Documentation/ABI/testing/sysfs-kernel-kexec-kdump.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kdumphpd.kernel import fadump
from kdumphpd.kernel.fadump import read_fadump
from kdumphpd.sysfs import read_attribute, read_flag

# New home first; the old one is a compat link there, and the only one on older kernels.
CRASH_LOADED = ("sys/kernel/kexec/crash_loaded", "sys/kernel/kexec_crash_loaded")
CRASH_SIZE = ("sys/kernel/kexec/crash_size", "sys/kernel/kexec_crash_size")
ELFCOREHDR_SIZE = ("sys/kernel/kexec/crash_elfcorehdr_size", "sys/kernel/crash_elfcorehdr_size")

# While it updates the image the kernel unsets it for an instant (xchg(&kexec_crash_image, NULL)
# in crash_handle_hotplug_event), so "not loaded" counts only when it stays so.
RECHECKS = 3
RECHECK_PAUSE = 0.1  # seconds


def crash_loaded(root: Path) -> bool | None:
    """What the kernel says right now; None where it has no kexec. Raises OSError where it can't be read."""
    return read_flag(root, *CRASH_LOADED)


def armed_now(root: Path) -> bool | None:
    """Whether a panic in this instant leaves a dump: fadump registered where it is enabled, else `crash_loaded`.

    None where the kernel has neither. Raises OSError where it can't be read.
    """
    state = read_fadump(root)
    return state.registered if state.enabled else crash_loaded(root)


@contextlib.contextmanager
def kept_open(root: Path) -> Iterator[Callable[[], bool]]:
    """`armed_now` for whoever looks hundreds of times a second: the file is opened once, and a look is one read.

    Raises OSError where there is no such file, and so does a look that can't be had.
    """
    paths = fadump.REGISTERED if read_fadump(root).enabled else CRASH_LOADED
    path = next((root / path for path in paths if (root / path).exists()), root / paths[0])
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def sample() -> bool:
        if (flag := os.pread(descriptor, 1, 0)) not in (b"0", b"1"):
            raise OSError(f"{path} holds {flag!r}; expected 0 or 1")
        return flag == b"1"

    try:
        yield sample
    finally:
        os.close(descriptor)


def image_loaded(root: Path, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Whether the machine is armed, an instant's absence excepted. Raises OSError."""
    for attempt in range(RECHECKS):
        if attempt:
            sleep(RECHECK_PAUSE)
        loaded = armed_now(root)
        if loaded is None:
            return False
        if loaded:
            return True
    return False


def elfcorehdr_is_sized(root: Path) -> bool:
    """Whether the kernel tells the size that `kexec --hotplug` needs to leave room for (else kexec dies)."""
    return any(read_attribute(root, path) is not None for path in ELFCOREHDR_SIZE)


def reservation(root: Path) -> int | None:
    """Bytes reserved for the image (crashkernel=), None where the kernel does not say just now.

    Reading it takes the kexec lock: for whoever is about to load anyhow.
    """
    try:
        texts = (read_attribute(root, path) for path in CRASH_SIZE)
        return int(next(text for text in texts if text is not None))
    except (OSError, ValueError, StopIteration):
        return None
