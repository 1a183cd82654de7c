# SPDX-License-Identifier: GPL-2.0-or-later
"""The elfcorehdr segment: which memory and which CPU notes the capture kernel will find.

Source: crash_prepare_elf64_headers() in kernel/crash_core.c; crash_create_elf64_headers() in kexec-tools.
"""

from dataclasses import dataclass

from kdumphpd.image import elf
from kdumphpd.image.errors import ParseError
from kdumphpd.image.ranges import Range, Ranges


@dataclass(frozen=True, slots=True)
class ElfCoreHdr:
    """What an elfcorehdr describes.

    notes: physical addresses of the PT_NOTE entries, one a CPU and one for vmcoreinfo.
    loads: physical ranges of the PT_LOAD entries, as they stand (they may overlap: the kernel's own text
    has an entry beside that of the RAM it lies in).
    size: bytes in use, from the start to the end of the program headers; the buffer may have more.
    backup: p_offset of the PT_LOAD at physical address 0, where its content is taken from; None where there is no
    such entry.
    """

    notes: tuple[int, ...]
    loads: Ranges
    size: int = 0
    backup: int | None = None


def parse_elfcorehdr(data: bytes) -> ElfCoreHdr:
    """Return what the elfcorehdr at the start of data describes.

    Entries of other types are skipped: a buffer with room for hotplug is filled up with PT_NULL. The range
    of a PT_LOAD is by p_paddr, since p_offset of a backed-up area points at the backup.
    Raises ParseError.
    """
    header = elf.parse_header(data)
    notes: list[int] = []
    loads: list[Range] = []
    backup: int | None = None
    for entry in elf.parse_program_headers(header, data[header.phoff :]):
        if entry.type == elf.PT_NOTE:
            notes.append(entry.paddr)
        elif entry.type == elf.PT_LOAD and entry.memsz:
            end = entry.paddr + entry.memsz - 1
            if end >= 1 << 64:
                raise ParseError(f"PT_LOAD of {entry.memsz:#x} bytes at {entry.paddr:#x} leaves the address space")
            loads.append(Range(entry.paddr, end))
            if not entry.paddr and backup is None:
                backup = entry.offset
    return ElfCoreHdr(tuple(notes), tuple(loads), header.phoff + header.phnum * elf.PHDR_SIZE, backup)
