# SPDX-License-Identifier: GPL-2.0-or-later
import gzip
import mmap
import struct
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from kdumphpd.reload.content import CutShort, Damaged
from kdumphpd.reload.kernel_file import memory
from tests.unit.reload.archives import content

PAGE = mmap.PAGESIZE


def bzimage(size: int, init_size: int, *, version: int = 0x20F, setup_sects: int = 27) -> bytes:
    """The setup header of Documentation/arch/x86/boot.rst, and `size` bytes of kernel."""
    setup = bytearray(((setup_sects or 4) + 1) * 512)
    setup[0x1F1] = setup_sects
    struct.pack_into("<I", setup, 0x1F4, size // 16)
    struct.pack_into("<H", setup, 0x1FE, 0xAA55)
    struct.pack_into("<4sH", setup, 0x202, b"HdrS", version)
    struct.pack_into("<I", setup, 0x260, init_size)
    return bytes(setup) + bytes(size)


class Elf(NamedTuple):
    """One of the four kinds."""

    wide: bool
    prefix: str

    def file(self, *segments: tuple[int, int, int], kind: int = 1) -> bytes:
        """A kernel of segments of (type, filesz, memsz), their content one after the other, and no sections."""
        form = self.prefix + ("IIQQQQQQ" if self.wide else "8I")
        size, entry = (64, 56) if self.wide else (52, 32)
        offset = size + entry * len(segments)
        ident = b"\x7fELF" + bytes([2 if self.wide else 1, kind]) + bytes(10)
        word = "Q" if self.wide else "I"
        data = ident + struct.pack(
            f"{self.prefix}HHI3{word}IHHHHHH", 2, 21, 1, 0, size, 0, 0, size, entry, len(segments), 0, 0, 0
        )
        for type_, filesz, memsz in segments:
            fields = (
                (type_, 0, offset, 0, 0, filesz, memsz, 0)
                if self.wide
                else (type_, offset, 0, 0, filesz, memsz, 0, 0)
            )
            data += struct.pack(form, *fields)
            offset += filesz
        return data + bytes(sum(filesz for _, filesz, _ in segments))


LITTLE, BIG = 1, 2
ELFS = [(Elf(wide, prefix), kind) for wide in (True, False) for prefix, kind in (("<", LITTLE), (">", BIG))]


def is_cut_short(data: bytes) -> bool:
    try:
        memory(content(data))
    except CutShort as error:
        return str(error).startswith(f"ends after {len(data)} bytes")
    return False


# --- x86 --------------------------------------------------------------------------------------------------


def test_a_bzimage_needs_what_its_header_says() -> None:
    assert memory(content(bzimage(4096, 60 << 20))) == 60 << 20
    assert memory(content(bzimage(4096, 60 << 20, setup_sects=0))) == 60 << 20
    assert memory(content(bzimage(4096, 60 << 20) + b"a signature")) == 60 << 20


def test_a_bzimage_of_an_older_protocol_needs_its_size_at_least() -> None:
    data = bzimage(4096, 60 << 20, version=0x209)
    assert memory(content(data)) == len(data)


def test_a_bzimage_that_is_cut_is_found() -> None:
    data = bzimage(4096, 60 << 20)
    assert [n for n in range(0x206, len(data)) if not is_cut_short(data[:n])] == []
    with pytest.raises(CutShort, match="ends after 5000 bytes, and by its header has 18432 at least"):
        memory(content(data[:5000]))


# --- ELF --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("elf", "kind"), ELFS)
def test_an_elf_kernel_needs_the_memory_of_its_segments(elf: Elf, kind: int) -> None:
    data = elf.file((1, 1000, PAGE + 1), (4, 100, 100), (1, 500, 3 * PAGE), kind=kind)
    assert memory(content(data)) == 5 * PAGE


@pytest.mark.parametrize(("elf", "kind"), ELFS)
def test_an_elf_kernel_that_is_cut_is_found(elf: Elf, kind: int) -> None:
    data = elf.file((1, 100, 100), (1, 200, 200), kind=kind)
    assert [n for n in range(4, len(data)) if not is_cut_short(data[:n])] == []


def test_a_real_elf_file_is_whole_and_found_when_it_is_cut() -> None:
    data = Path(sys.executable).read_bytes()
    assert memory(content(data)) > 0
    assert is_cut_short(data[:-1])  # kexec-tools read the table of sections, which is at the end
    assert is_cut_short(data[: len(data) // 2])


@pytest.mark.parametrize("ident", [b"\x00\x01", b"\x02\x00", b"\x07\x07"])
def test_an_elf_of_no_known_kind_is_left_to_kexec(ident: bytes) -> None:
    assert memory(content(b"\x7fELF" + ident + bytes(100))) == 106


# --- others -----------------------------------------------------------------------------------------------


def test_a_compressed_kernel_has_to_be_whole() -> None:
    data = gzip.compress(bytes(range(256)) * 100)
    assert memory(content(data + b"a signature")) == len(data) + 11
    assert is_cut_short(data[:-1])
    with pytest.raises(Damaged, match="is damaged: the gzip archive"):
        memory(content(data[:-8] + bytes(8)))


@pytest.mark.parametrize("head", [b"MZ\0\0zimg", bytes(56) + b"ARMd", b"\x01"])
def test_any_other_kernel_needs_its_size_at_least(head: bytes) -> None:
    assert memory(content(head + bytes(1000))) == len(head) + 1000
