# SPDX-License-Identifier: GPL-2.0-or-later
import contextlib
import gzip
import mmap
import struct
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdumphpd.load import kernel_file
from kdumphpd.load.kernel_file import CutShort

PAGE = mmap.PAGESIZE


def memory(data: bytes) -> int:
    return kernel_file.memory(lambda at, size: data[at : at + size], len(data))


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
        memory(data)
    except CutShort as error:
        return str(error).startswith(f"ends after {len(data)} bytes")
    return False


# --- x86 --------------------------------------------------------------------------------------------------


def test_a_bzimage_needs_what_its_header_says() -> None:
    assert memory(bzimage(4096, 60 << 20)) == 60 << 20
    assert memory(bzimage(4096, 60 << 20, setup_sects=0)) == 60 << 20
    assert memory(bzimage(4096, 60 << 20) + b"a signature") == 60 << 20


def test_a_bzimage_of_an_older_protocol_does_not_tell() -> None:
    assert memory(bzimage(4096, 60 << 20, version=0x209)) == 0


def test_a_bzimage_is_one_though_it_is_a_pe_file_too() -> None:
    assert memory(b"MZ" + bzimage(4096, 60 << 20)[2:]) == 60 << 20


def test_a_bzimage_that_is_cut_is_found() -> None:
    data = bzimage(4096, 60 << 20)
    assert [n for n in range(0x206, len(data)) if not is_cut_short(data[:n])] == []
    with pytest.raises(CutShort, match="ends after 5000 bytes, and by its header has 18432 at least"):
        memory(data[:5000])


# --- ELF --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("elf", "kind"), ELFS)
def test_an_elf_kernel_needs_the_memory_of_its_segments(elf: Elf, kind: int) -> None:
    data = elf.file((1, 1000, PAGE + 1), (4, 100, 100), (1, 500, 3 * PAGE), kind=kind)
    assert memory(data) == 5 * PAGE


@pytest.mark.parametrize(("elf", "kind"), ELFS)
def test_an_elf_kernel_that_is_cut_is_found(elf: Elf, kind: int) -> None:
    data = elf.file((1, 100, 100), (1, 200, 200), kind=kind)
    assert [n for n in range(4, len(data)) if not is_cut_short(data[:n])] == []


def test_a_real_elf_file_is_whole_and_found_when_it_is_cut() -> None:
    data = Path(sys.executable).read_bytes()
    assert memory(data) > 0
    assert is_cut_short(data[:-1])  # kexec-tools read the table of sections, which is at the end
    assert is_cut_short(data[: len(data) // 2])


@pytest.mark.parametrize("ident", [b"\x00\x01", b"\x02\x00", b"\x07\x07"])
def test_an_elf_of_no_known_kind_is_left_to_kexec(ident: bytes) -> None:
    assert memory(b"\x7fELF" + ident + bytes(100)) == 0


# --- others -----------------------------------------------------------------------------------------------


def test_of_any_other_kernel_nothing_is_said() -> None:
    uki = b"MZ" + bytes(58) + b"\x80\0\0\0" + bytes(64) + b"PE\0\0" + bytes(1000)
    zboot = b"MZ\0\0zimg" + bytes(1000)
    image = bytes(56) + b"ARMd" + bytes(1000)
    for data in (uki, zboot, image, gzip.compress(bytes(1000)), b"\x01", b""):
        assert memory(data) == 0


@given(st.binary(max_size=700) | st.builds(bytes.__add__, st.just(b"\x7fELF"), st.binary(max_size=200)))
def test_whatever_the_bytes_they_have_a_need_or_are_cut_short(data: bytes) -> None:
    with contextlib.suppress(CutShort):
        assert memory(data) >= 0
