# SPDX-License-Identifier: GPL-2.0-or-later
"""How much memory does a capture kernel need to start, and is its file long enough to hold it?

What the headers of an x86 bzImage and of ELF tell. A PE file (a UKI), EFI's zboot, a gzip'ed Image and whatever else
there is do not tell it, and nothing is said of them: kexec has the last word.
"""

import mmap
import struct
from collections.abc import Callable

Pread = Callable[[int, int], bytes]
"""At most so many bytes at a position, fewer at the end of the file: pread(position, size)."""

# Documentation/arch/x86/boot.rst: offsets into the setup header.
SETUP_SECTS, SYSSIZE, HEADER, VERSION, INIT_SIZE = 0x1F1, 0x1F4, 0x202, 0x206, 0x260
HEADER_MAGIC = b"HdrS"
SECTOR = 512  # bytes
DEFAULT_SETUP_SECTS = 4  # what 0 means
PARAGRAPH = 16  # bytes; the unit of syssize
WIDE_SYSSIZE = 0x204  # the protocol since which syssize has 4 bytes
HAS_INIT_SIZE = 0x20A

ELF_MAGIC = b"\x7fELF"
ELF_PREFIXES = {1: "<", 2: ">"}  # EI_DATA
PT_LOAD = 1
PN_XNUM = 0xFFFF


class CutShort(ValueError):  # noqa: N818 - a finding
    """The file ends before what it holds does; the message goes on where its name ends ("ends after 12 bytes")."""


def memory(pread: Pread, size: int) -> int:
    """The bytes that the kernel in a file of `size` bytes occupies once it is loaded; 0 where that can't be told.

    Raises CutShort.
    """
    head = pread(0, INIT_SIZE + 4)
    # A bzImage is a PE file too, for EFI; the other way round, a UKI has other things in this place.
    if head[HEADER:VERSION] == HEADER_MAGIC:
        return _bzimage(head, size)
    if head.startswith(ELF_MAGIC):
        return _elf(pread, size)
    return 0


def _bzimage(head: bytes, size: int) -> int:
    if len(head) < INIT_SIZE + 4:
        raise CutShort(f"ends after {size} bytes")
    version = int.from_bytes(head[VERSION : VERSION + 2], "little")
    if version >= WIDE_SYSSIZE:
        paragraphs = int.from_bytes(head[SYSSIZE : SYSSIZE + 4], "little")
        setup = ((head[SETUP_SECTS] or DEFAULT_SETUP_SECTS) + 1) * SECTOR
        _require(size, setup + paragraphs * PARAGRAPH)
    if version >= HAS_INIT_SIZE:
        return int.from_bytes(head[INIT_SIZE : INIT_SIZE + 4], "little")
    return 0


def _elf(pread: Pread, size: int) -> int:
    """Source: elf(5).

    The sum of all PT_LOADs, not the span from the first to the last: kexec places each on its own where it can, and
    then the holes are no need.
    """
    kind, order = _exactly(pread, size, 4, 2)
    prefix = ELF_PREFIXES.get(order)
    if prefix is None or kind not in (1, 2):
        return 0
    wide = kind == 2
    layout, entry_size = ("32xQQ6xHHHH", 56) if wide else ("28xII6xHHHH", 32)
    header = struct.Struct(prefix + layout)
    phoff, shoff, phentsize, phnum, shentsize, shnum = header.unpack(_exactly(pread, size, 0, header.size))
    if phentsize != entry_size or phnum == PN_XNUM:
        return 0
    entry = struct.Struct(prefix + ("I4xQ16xQQ8x" if wide else "II8xII8x"))
    total = 0
    for type_, offset, filesz, memsz in entry.iter_unpack(_exactly(pread, size, phoff, phnum * entry_size)):
        if type_ == PT_LOAD:
            _require(size, offset + filesz)
            total += -(-memsz // mmap.PAGESIZE) * mmap.PAGESIZE
    if shoff:  # kexec-tools read it
        _require(size, shoff + shnum * shentsize)
    return total


def _exactly(pread: Pread, size: int, at: int, length: int) -> bytes:
    _require(size, at + length)
    data = pread(at, length)
    if len(data) < length:  # cut in this moment
        raise CutShort(f"ends after {at + len(data)} bytes")
    return data


def _require(size: int, needed: int) -> None:
    if size < needed:
        raise CutShort(f"ends after {size} bytes, and by its header has {needed} at least")
