# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeping the keys of an encrypted dump target through a reload.

They lie in the reserved memory, saved there when the first image was loaded, and userspace no longer has them. The
kernel takes them over into the next image where it is told so while the old one is there.
Source: Documentation/admin-guide/kdump/kdump.rst, "Write the dump file to encrypted disk volume".
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from kdumphpd import journal, runtime
from kdumphpd.load.run import LoadFailed, fresh_file
from kdumphpd.sysfs import read_flag

log = journal.logger()

REUSE = "sys/kernel/config/crash_dm_crypt_keys/reuse"
YES = f"{runtime.FOLDER}/reuse"


def properties(root: Path) -> tuple[str, ...]:
    """Properties of the transient unit of a loader that is only asked what it would load. Raises LoadFailed.

    It reads that the kernel takes the keys over. Otherwise kdumpctl fetches them to save them again, and fails: they
    have left root's keyring five minutes after it did so first. The kernel itself is not told. Another helper may be
    loading, and depend on what it has told it.
    """
    try:
        if read_flag(root, REUSE) is None:
            return ()
    except OSError:  # what stands in its way stands in the loader's too, which says so
        return ()
    try:
        with fresh_file(root / YES) as fd:
            os.write(fd, b"1\n")
    except OSError as error:
        raise LoadFailed(f"cannot write /{YES}: {error.strerror}") from error
    return (f"BindReadOnlyPaths=/{YES}:/{REUSE}",)


@contextlib.contextmanager
def reused(root: Path) -> Iterator[None]:
    """Have the kernel take the keys over from image to image meanwhile, where it has any.

    A helper that is killed meanwhile leaves it enabled: its caller notes that before it loads, and the next helper
    calls disable().
    """
    enabled = _enable(root)
    try:
        yield
    finally:
        if enabled:
            disable(root)


def _enable(root: Path) -> bool:
    """Write 1 where 0 is; whether that was done, and disable() has to follow."""
    try:
        if read_flag(root, REUSE) is not False:
            return False  # no such kernel, or somebody else has enabled it
        _write(root, "1")
    except OSError as error:
        # EINVAL: no keys are saved with this image, or this kernel updates images and keeps the keys by itself.
        if error.errno != errno.EINVAL:
            log.warning(f"the keys of an encrypted dump target may be lost: cannot write 1 to /{REUSE}: {error}")
        return False
    return True


def disable(root: Path) -> None:
    """Write 0 where it is not 0 yet. A failure is logged: it hinders no load."""
    try:
        if read_flag(root, REUSE):
            _write(root, "0")
    except OSError as error:
        log.warning(
            f"/{REUSE} stays 1, for writing 0 failed with {error.strerror or error}; until it is 0, an image that "
            "is loaded with new keys gets the old ones"
        )


def _write(root: Path, digit: str) -> None:
    (root / REUSE).write_text(digit)
