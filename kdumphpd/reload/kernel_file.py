# SPDX-License-Identifier: GPL-2.0-or-later
"""Is the file of a capture kernel whole, and how much memory does that kernel need to start?

What x86 calls bzImage, ELF and gzip tell; other files (an Image, a zImage, what EFI starts) are taken as they are.
"""

import mmap
import struct

from kdumphpd.reload import compressed
from kdumphpd.reload.content import Content, CutShort

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

GZIP_MAGIC = b"\x1f\x8b"


def memory(content: Content) -> int:
    """The bytes that the kernel occupies once it is loaded, at least. Raises Damaged, CutShort included."""
    head = content.peek(0, INIT_SIZE + 4)
    if head[HEADER:VERSION] == HEADER_MAGIC:
        return _bzimage(content, head)
    if head.startswith(ELF_MAGIC):
        return _elf(content)
    if head.startswith(GZIP_MAGIC):
        compressed.gzip(content, 0)
    return content.size


def _bzimage(content: Content, head: bytes) -> int:
    if len(head) < INIT_SIZE + 4:
        raise content.cut_short()
    version = int.from_bytes(head[VERSION : VERSION + 2], "little")
    if version >= WIDE_SYSSIZE:
        paragraphs = int.from_bytes(head[SYSSIZE : SYSSIZE + 4], "little")
        setup = ((head[SETUP_SECTS] or DEFAULT_SETUP_SECTS) + 1) * SECTOR
        _require(content, setup + paragraphs * PARAGRAPH)
    if version >= HAS_INIT_SIZE:
        return int.from_bytes(head[INIT_SIZE : INIT_SIZE + 4], "little")
    return content.size


def _elf(content: Content) -> int:
    """Source: elf(5).

    The sum of all PT_LOADs, not the span from the first to the last: kexec places each on its own where it can, and
    then the holes are no need.
    """
    kind, order = content.read(4, 2)
    prefix = ELF_PREFIXES.get(order)
    if prefix is None or kind not in (1, 2):
        return content.size  # kexec has the last word
    wide = kind == 2
    layout, entry_size = ("32xQQ6xHHHH", 56) if wide else ("28xII6xHHHH", 32)
    header = struct.Struct(prefix + layout)
    phoff, shoff, phentsize, phnum, shentsize, shnum = header.unpack(content.read(0, header.size))
    if phentsize != entry_size or phnum == PN_XNUM:
        return content.size
    entry = struct.Struct(prefix + ("I4xQ16xQQ8x" if wide else "II8xII8x"))
    total = 0
    for type_, offset, filesz, memsz in entry.iter_unpack(content.read(phoff, phnum * entry_size)):
        if type_ == PT_LOAD:
            _require(content, offset + filesz)
            total += _pages(memsz)
    if shoff:  # kexec-tools read it
        _require(content, shoff + shnum * shentsize)
    return total


def _require(content: Content, size: int) -> None:
    if content.size < size:
        raise CutShort(f"{content.cut_short()}, and by its header has {size} at least")


def _pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
