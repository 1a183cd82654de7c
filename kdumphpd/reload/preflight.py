# SPDX-License-Identifier: GPL-2.0-or-later
"""A look at the files that an image is made of, before the old image goes.

Both syscalls drop the old image first, and a load that fails leaves none. So what would make one fail is found here,
while the old image is still there; and what was read here is in the page cache when it is loaded.
"""

import contextlib
import mmap
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from kdumphpd.reload import initrd as initrd_file
from kdumphpd.reload import kernel_file
from kdumphpd.reload.content import Content, CutShort, Damaged
from kdumphpd.reload.run import NotReady

CHUNK = 1 << 20  # bytes

# KEXEC_FILE_SIZE_MAX of kernel/kexec_file.c
MAX_FILE = 4 << 30  # bytes

# elfcorehdr, purgatory and boot parameters need some, too. They hardly ever need more, and a reservation that is
# exhausted to the last page starts no kernel.
OVERHEAD = 1 << 20  # bytes


def check(root: Path, kernel: Path, initrd: Path | None, reservation: int | None) -> None:
    """Both files can be read, are whole, and fit in the reservation (bytes; None: not known). Raises NotReady.

    They are then in the page cache. The paths are absolute, and taken below `root`.
    """
    with _content(root, kernel, "the kernel", "install it again") as content:
        need = OVERHEAD + kernel_file.memory(content)
    if initrd is not None:
        with _content(root, initrd, "the initrd", "rebuild it") as content:
            initrd_file.check(content)
            need += -(-content.size // mmap.PAGESIZE) * mmap.PAGESIZE
    if reservation is not None and need > reservation:
        files = f"{kernel} and {initrd}" if initrd else f"{kernel}"
        raise NotReady(
            f"{files} need {-(-need >> 20)} MiB, the reservation (crashkernel=) has {reservation >> 20} MiB: "
            "make it larger, or the initrd smaller"
        )


@contextlib.contextmanager
def _content(root: Path, path: Path, what: str, remedy: str) -> Iterator[Content]:
    """The content of a file that does not change meanwhile. Raises NotReady, also for what is found in the body."""
    name = f"{what} {path}"
    real = root / str(path).lstrip("/")
    try:
        # A FIFO in its place is nothing to wait for.
        fd = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise NotReady(f"{name} is not a regular file: {remedy}")
            if before.st_size > MAX_FILE:
                raise NotReady(f"{name} has {before.st_size} bytes, and kexec reads {MAX_FILE} at most: {remedy}")
            finding = None
            try:
                _read(fd, before.st_size)
                yield Content(before.st_size, lambda at, size: os.pread(fd, size, at))
            except Damaged as error:
                finding = error
            if _identity(before) != _identity(real.stat()):
                raise NotReady(f"{name} is being written: it is looked at again later")
        finally:
            os.close(fd)
    except OSError as error:
        raise NotReady(f"cannot read {name}: {error.strerror}; {remedy}") from error
    if isinstance(finding, CutShort):
        raise NotReady(f"{name} {finding}: it was cut short, or is still being written; if it stays so, {remedy}")
    if finding:
        raise NotReady(f"{name} {finding}: {remedy}")


def _read(fd: int, size: int) -> None:
    """Bring the file into the page cache. Raises Damaged, and OSError where a part of it can't be read."""
    if size == 0:
        raise CutShort("is empty")
    at = 0
    while at < size and (piece := os.pread(fd, CHUNK, at)):
        at += len(piece)


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    """What changes when a file is written or replaced."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
