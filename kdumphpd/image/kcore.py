# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel memory through /proc/kcore.

Source: fs/proc/kcore.c; arch/*/include/asm/page.h for the linear map.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TypeAlias

from kdumphpd.image import elf
from kdumphpd.image.errors import Cause, ChangedError, ParseError, UnreadableError

Pread: TypeAlias = Callable[[int, int], bytes]
"""(size, offset in the file) to at most size bytes; raises OSError."""

# Nothing that is read here comes near (the largest elfcorehdr is 3.6 MiB, 65,534 entries).
MAX_READ = 16 << 20

NO_PADDR = (1 << 64) - 1  # p_paddr of areas that are not RAM, such as vmalloc

# Start of the linear map where the architecture fixes it and kcore tells of no physical address to derive it
# from: by e_machine. PAGE_OFFSET, arch/powerpc/Kconfig.
FIXED_LINEAR_MAP = {elf.EM_PPC64: 0xC000_0000_0000_0000}


@dataclass(frozen=True, slots=True)
class Kcore:
    """An open /proc/kcore. Its list of areas is of the moment it was opened: hotplug changes it."""

    pread: Pread
    header: elf.Header
    loads: tuple[elf.ProgramHeader, ...]

    def read_virtual(self, address: int, size: int) -> bytes:
        """Return size bytes at a kernel address.

        Raises ChangedError where no area covers them or they can't be read: the address came from kernel memory
        and may be out of date.
        """
        for load in self.loads:
            if load.vaddr <= address and address + size <= load.vaddr + load.memsz:
                return self._read(load.offset + address - load.vaddr, size, address)
        raise ChangedError(f"/proc/kcore does not cover {size} bytes at {address:#x}")

    def read_physical(self, address: int, size: int) -> bytes:
        """Return size bytes at a physical address. Raises ChangedError as read_virtual() does."""
        known = [load for load in self.loads if load.paddr != NO_PADDR]
        for load in known:
            if load.paddr <= address and address + size <= load.paddr + load.memsz:
                return self._read(load.offset + address - load.paddr, size, address)
        # An area without a p_paddr of its own may still be in the linear map, where virtual and physical
        # addresses differ by a constant. The largest area that tells both is RAM and gives it away (the
        # kernel's text, with another constant on x86, is smaller).
        largest = max(known, key=lambda load: load.memsz, default=None)
        distance = largest.vaddr - largest.paddr if largest else FIXED_LINEAR_MAP.get(self.header.machine)
        if distance is not None:
            virtual = address + distance
            for load in self.loads:
                if load.paddr == NO_PADDR and load.vaddr <= virtual <= load.vaddr + load.memsz - size:
                    return self._read(load.offset + virtual - load.vaddr, size, address)
        raise ChangedError(f"/proc/kcore does not cover {size} bytes at physical {address:#x}")

    def _read(self, offset: int, size: int, address: int) -> bytes:
        if size > MAX_READ:
            raise ChangedError(f"{size} bytes at {address:#x} are more than any part of an image has")
        try:
            return read_exactly(self.pread, size, offset)
        except OSError as error:
            raise ChangedError(f"/proc/kcore: {size} bytes at {address:#x}: {error.strerror}") from error


def read_exactly(pread: Pread, size: int, offset: int) -> bytes:
    """Return size bytes at offset. Raises OSError, also where the file ends before (errno ENODATA)."""
    data = b""
    while len(data) < size:
        # lseek() and pread() take a signed offset, which Python would refuse with an OverflowError.
        part = pread(size - len(data), offset + len(data)) if offset + size < 1 << 63 else b""
        if not part:
            raise OSError(errno.ENODATA, "no data there")
        data += part
    return data


def parse_kcore(pread: Pread) -> Kcore:
    """Return the areas that a kcore lists. Raises ParseError (32-bit kernels included) and OSError."""
    header = elf.parse_header(read_exactly(pread, elf.EHDR_SIZE, 0))
    table = read_exactly(pread, header.phnum * elf.PHDR_SIZE, header.phoff)
    entries = elf.parse_program_headers(header, table)
    return Kcore(pread, header, tuple(e for e in entries if e.type == elf.PT_LOAD))


@contextmanager
def open_kcore(root: Path) -> Iterator[Kcore]:
    """Open /proc/kcore below root. Raises UnreadableError, which tells lockdown from a missing privilege."""
    with _open(root) as file:
        fd = file.fileno()
        try:
            kcore = parse_kcore(lambda size, offset: os.pread(fd, size, offset))
        except OSError as error:
            raise UnreadableError(Cause.NO_KCORE, f"/proc/kcore: {error.strerror}") from error
        except ParseError as error:
            raise UnreadableError(Cause.NO_KCORE, f"/proc/kcore: {error}") from error
        yield kcore


def _open(root: Path) -> FileIO:
    try:
        return (root / "proc/kcore").open("rb", buffering=0)
    except FileNotFoundError as error:
        raise UnreadableError(Cause.NO_KCORE, "/proc/kcore is missing (CONFIG_PROC_KCORE)") from error
    except PermissionError as error:
        if _lockdown(root) == "confidentiality":
            raise UnreadableError(Cause.LOCKDOWN, "lockdown=confidentiality keeps /proc/kcore shut") from error
        raise UnreadableError(
            Cause.NO_PERMISSION, f"/proc/kcore: {error.strerror}; it takes root with CAP_SYS_RAWIO"
        ) from error
    except OSError as error:
        raise UnreadableError(Cause.NO_KCORE, f"/proc/kcore: {error.strerror}") from error


def _lockdown(root: Path) -> str:
    """Return the level in force, "" where it isn't known: "none integrity [confidentiality]"."""
    try:
        text = (root / "sys/kernel/security/lockdown").read_text()
    except OSError:
        return ""  # no securityfs, no lockdown LSM: the plain permission error is what there is to say
    return text.partition("[")[2].partition("]")[0]
