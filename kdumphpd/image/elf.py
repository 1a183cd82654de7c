# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of ELF that /proc/kcore and the elfcorehdr share: the file header and the program headers.

Source: elf(5); include/uapi/linux/elf.h, Elf64_Ehdr and Elf64_Phdr.
"""

import struct
from typing import Literal, NamedTuple, TypeAlias

from kdumphpd.image.errors import ParseError

ByteOrder: TypeAlias = Literal["little", "big"]

ELFMAG = b"\x7fELF"
EM_PPC64, EM_S390 = 21, 22
ET_CORE = 4
PT_LOAD = 1
PT_NOTE = 4

# In e_phnum this says that the count is in a section header. Neither kcore nor any writer of an elfcorehdr
# does that (crash_load_segments() gives up at PN_XNUM), so it is refused rather than followed.
PN_XNUM = 0xFFFF

EHDR_SIZE = 64
PHDR_SIZE = 56


class Header(NamedTuple):
    """What an ELF file header says: byte order, e_machine, and where its phnum program headers are."""

    byteorder: ByteOrder
    machine: int
    phoff: int
    phnum: int


class ProgramHeader(NamedTuple):
    """An Elf64_Phdr; offset, addresses and sizes in bytes."""

    type: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    align: int


def parse_header(data: bytes) -> Header:
    """Return the file header that data, at least 64 bytes, begins with.

    Raises ParseError unless it is a 64-bit ELF core file with program headers of the known size.
    """
    if len(data) < EHDR_SIZE or data[:4] != ELFMAG:
        raise ParseError("not an ELF header")
    if data[4] != 2:
        raise ParseError(f"ELF class {data[4]}: only 64-bit ELF is supported")
    byteorder: ByteOrder
    match data[5]:
        case 1:
            byteorder, prefix = "little", "<"
        case 2:
            byteorder, prefix = "big", ">"
        case other:
            raise ParseError(f"ELF byte order {other} is unknown")
    kind, machine = struct.unpack_from(f"{prefix}HH", data, 16)
    (phoff,) = struct.unpack_from(f"{prefix}Q", data, 32)
    phentsize, phnum = struct.unpack_from(f"{prefix}HH", data, 54)
    if kind != ET_CORE:
        raise ParseError(f"ELF type {kind} is not a core file")
    if phentsize != PHDR_SIZE or phnum == PN_XNUM:
        raise ParseError(f"{phnum} ELF program headers of {phentsize} bytes are not supported")
    return Header(byteorder, machine, phoff, phnum)


def parse_program_headers(header: Header, table: bytes) -> tuple[ProgramHeader, ...]:
    """Return the program headers of header; table is what the file holds at phoff.

    Raises ParseError where table is too short.
    """
    size = header.phnum * PHDR_SIZE
    if len(table) < size:
        raise ParseError(f"{header.phnum} ELF program headers do not fit in {len(table)} bytes")
    entry = struct.Struct("<IIQQQQQQ" if header.byteorder == "little" else ">IIQQQQQQ")
    return tuple(ProgramHeader._make(fields) for fields in entry.iter_unpack(table[:size]))
