# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of the files that an image is made of, before the old image goes.

Both syscalls drop the old image first, and a load that fails leaves none. So what would make one fail is found here,
while the old image is still there; and what was read here is in the page cache when it is loaded.
"""

import mmap
import os
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import NamedTuple

from kdumphpd.load import initrd as initrd_file
from kdumphpd.load import kernel_file
from kdumphpd.load.initrd import Tool
from kdumphpd.load.kernel_file import Pread
from kdumphpd.load.run import PATH, CommandFailed, LoadFailed, NotReady, bounded, run

LIMIT = 60.0  # seconds for all of a check
SETTLED = 2.0  # seconds since the last change after which a file is taken to be written to its end
PATIENCE = 6.0  # seconds that are waited for that
TEST_LIMIT = 15.0  # seconds for a format's own test

CHUNK = 1 << 20  # bytes

# KEXEC_FILE_SIZE_MAX of kernel/kexec_file.c
MAX_FILE = 4 << 30  # bytes

# elfcorehdr, purgatory and boot parameters need some, too. They hardly ever need more, and a reservation that is
# exhausted to the last page starts no kernel.
OVERHEAD = 1 << 20  # bytes

SIGNALLED = 128  # what a shell adds to the number of the signal that ended a command


@dataclass(frozen=True)
class FileIdentity:
    """What changes when a file is written or replaced."""

    device: int
    inode: int
    size: int  # bytes
    mtime_ns: int
    ctime_ns: int

    def to_json(self) -> list[int]:
        return list(astuple(self))

    @classmethod
    def from_json(cls, value: object) -> "FileIdentity":
        """Raises ValueError."""
        if not isinstance(value, list) or len(value) != 5 or not all(type(number) is int for number in value):
            raise ValueError(f"{str(value)[:80]!r} is no identity of a file")
        return cls(*value)


def identity(path: Path) -> FileIdentity | None:
    """The identity of a file, links followed; None where there is none. Raises OSError for any other reason."""
    try:
        return _identity(path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _identity(status: os.stat_result) -> FileIdentity:
    return FileIdentity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class _Subject(NamedTuple):
    """One of the two files, and what is done about one that can't be used."""

    what: str
    path: Path
    real: Path  # below the root
    remedy: str

    def __str__(self) -> str:
        return f"{self.what} {self.path}"


def check(
    root: Path,
    kernel: Path,
    initrd: Path | None,
    reservation: int | None,
    known: Mapping[str, FileIdentity],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
    limit: float = LIMIT,
) -> dict[str, FileIdentity]:
    """Both files can be loaded and fit in the reservation (bytes; None: not known). Raises NotReady.

    Returns their identities by path. `known` are those of the last load that worked: a file that is still the same
    is not touched. What was read is in the page cache afterwards. The paths are absolute, and taken below `root`.
    """
    subjects = [_Subject("the kernel", kernel, root / str(kernel).lstrip("/"), "install it again")]
    if initrd is not None:
        subjects.append(_Subject("the initrd", initrd, root / str(initrd).lstrip("/"), "rebuild it"))
    files = " and ".join(str(subject.path) for subject in subjects)
    try:
        return bounded(lambda: _check(subjects, files, reservation, known, sleep, clock), limit, files)
    except NotReady:
        raise
    except LoadFailed as error:
        raise NotReady(str(error)) from error


def _check(
    subjects: list[_Subject],
    files: str,
    reservation: int | None,
    known: Mapping[str, FileIdentity],
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> dict[str, FileIdentity]:
    found = {str(subject.path): _present(subject) for subject in subjects}
    if all(known.get(path) == file for path, file in found.items()):
        return found
    need = OVERHEAD
    for subject in subjects:
        path = str(subject.path)
        same = known.get(path) == found[path]
        if not same:
            found[path] = _settled(subject, found[path], sleep, clock)
        need += _inspect(subject, found[path], thoroughly=not same)
    if reservation is not None and need > reservation:
        raise NotReady(
            f"{files} need {-(-need >> 20)} MiB, the reservation (crashkernel=) has {reservation >> 20} MiB: "
            "make it larger, or the initrd smaller"
        )
    return found


def _present(subject: _Subject) -> FileIdentity:
    try:
        return _identity(subject.real.stat())
    except OSError as error:
        raise _unreadable(subject, error) from error


def _settled(
    subject: _Subject, file: FileIdentity, sleep: Callable[[float], None], clock: Callable[[], float]
) -> FileIdentity:
    """The identity once nobody has changed the file for a moment. Raises NotReady."""
    waited = 0.0
    while (age := clock() - max(file.mtime_ns, file.ctime_ns) / 1e9) < SETTLED:
        if waited >= PATIENCE:
            raise _being_written(subject)
        # A time in the future, of a server's clock perhaps, says nothing of when it was.
        pause = SETTLED - max(age, 0.0)
        sleep(pause)
        waited += pause
        before, file = file, _present(subject)
        if file == before:
            break
    return file


def _inspect(subject: _Subject, file: FileIdentity, *, thoroughly: bool) -> int:
    """The memory (bytes) that the file needs once it is loaded. Raises NotReady where it can't be loaded."""
    finding = None
    need = 0
    try:
        # A FIFO in its place is nothing to wait for.
        fd = os.open(subject.real, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise NotReady(f"{subject} is not a regular file: {subject.remedy}")
            if status.st_size > MAX_FILE:
                size = f"{status.st_size} bytes, and kexec reads {MAX_FILE} at most"
                raise NotReady(f"{subject} has {size}: {subject.remedy}")
            try:
                if thoroughly:
                    _read(fd, status.st_size)
                need = _need(subject, fd, status.st_size)
                if thoroughly:
                    _test(subject, fd, status.st_size)
            except ValueError as error:
                finding = error
            if _identity(status) != file or _identity(subject.real.stat()) != file:
                raise _being_written(subject)
        finally:
            os.close(fd)
    except OSError as error:
        raise _unreadable(subject, error) from error
    if isinstance(finding, kernel_file.CutShort):
        cut = "it was cut short, or is still being written; if it stays so"
        raise NotReady(f"{subject} {finding}: {cut}, {subject.remedy}")
    if finding:
        raise NotReady(f"{subject} {finding}: {subject.remedy}")
    return need


def _read(fd: int, size: int) -> None:
    """Bring the file into the page cache. Raises ValueError, and OSError where a part of it can't be read."""
    if size == 0:
        raise kernel_file.CutShort("is empty")
    at = 0
    blank = True
    while at < size and (piece := os.pread(fd, CHUNK, at)):
        blank = blank and piece.count(0) == len(piece)
        at += len(piece)
    if blank:  # as some file systems leave one whose data did not reach the disk before the power failed
        raise ValueError("holds nothing but zeros")


def _need(subject: _Subject, fd: int, size: int) -> int:
    if subject.what == "the kernel":
        return kernel_file.memory(_pread(fd), size)
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def _pread(fd: int) -> Pread:
    return lambda at, size: os.pread(fd, size, at)


def _test(subject: _Subject, fd: int, size: int) -> None:
    """Have the format's own tool test it, where there is one. Raises ValueError."""
    pread = _pread(fd)
    if subject.what == "the kernel":
        begin, tool = 0, initrd_file.tool(pread, 0)
        if tool is not initrd_file.GZIP:
            return
    elif part := initrd_file.compressed_part(pread, size):
        begin, tool = part
    else:
        return
    if not _is_installed(tool.argv[0]):
        return
    end = time.monotonic() + TEST_LIMIT
    os.lseek(fd, begin, os.SEEK_SET)
    said = _damage(tool, [*tool.argv], fd, end)
    if said is not None and (data_end := initrd_file.end_of_data(pread, size, begin)):
        # Some take zeros behind the archive for a damage. Kernels don't.
        os.lseek(fd, begin, os.SEEK_SET)
        script = 'head -c "$0" | "$@"'
        said = _damage(tool, ["/bin/sh", "-c", script, str(data_end - begin), *tool.argv], fd, end)
    if said is not None:
        shown = " ".join(tool.argv[:2])
        raise ValueError(f"is damaged (`{shown}` says: {said or 'nothing, but fails'})")


def _damage(tool: Tool, argv: list[str], fd: int, end: float) -> str | None:
    """What the tool says of an archive that is damaged; None where it is whole, or nothing was found out."""
    limit = end - time.monotonic()
    if limit <= 0:
        return None
    try:
        run(argv, limit, stdin=fd)
    except CommandFailed as error:
        said = " ".join(error.said.split())
        # One that was killed has not found anything, nor one that lacks memory.
        if error.status < 0 or error.status > SIGNALLED or "memory" in said.lower():
            return None
        if error.status in tool.whole or (tool.whole_words and tool.whole_words in said):
            return None
        return said
    except LoadFailed:  # it takes too long, or can't be run
        return None
    return None


def _is_installed(tool: str) -> bool:
    return any(os.access(f"{folder}/{tool}", os.X_OK) for folder in PATH.split(":"))


def _unreadable(subject: _Subject, error: OSError) -> NotReady:
    return NotReady(f"cannot read {subject}: {error.strerror}; {subject.remedy}")


def _being_written(subject: _Subject) -> NotReady:
    return NotReady(f"{subject} is being written: it is looked at again later")
