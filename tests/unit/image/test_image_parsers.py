# SPDX-License-Identifier: GPL-2.0-or-later
"""Each parser on well-formed bytes of both byte orders, and on the particular ways in which they can be wrong."""

from pathlib import Path

import pytest

from kdumphpd.image.btf import Btf, Field, extract
from kdumphpd.image.elf import EHDR_SIZE, PHDR_SIZE, ByteOrder
from kdumphpd.image.elfcorehdr import ElfCoreHdr, parse_elfcorehdr
from kdumphpd.image.errors import Cause, ChangedError, ParseError, UnreadableError
from kdumphpd.image.iomem import parse_iomem
from kdumphpd.image.kallsyms import find_symbols
from kdumphpd.image.kcore import Pread, parse_kcore
from kdumphpd.image.kimage import Segment, parse_kimage
from kdumphpd.image.layout import parse_structs
from kdumphpd.image.machine import parse_cma_ranges
from kdumphpd.image.ranges import Range
from tests.unit.image import builder

ORDERS = pytest.mark.parametrize("byteorder", ["little", "big"])


def pread_of(data: bytes) -> Pread:
    return lambda size, offset: data[offset : offset + size]


# BTF and struct kimage


@ORDERS
def test_btf_gives_offsets_through_typedefs_anonymous_members_and_arrays(byteorder: ByteOrder) -> None:
    types = Btf(builder.btf(byteorder))
    segment = types.struct("kexec_segment")
    assert segment.size == 32
    assert segment.fields == {
        "buf": Field(0, 64),
        "kbuf": Field(0, 64),
        "bufsz": Field(64, 64),
        "mem": Field(128, 64),
        "memsz": Field(192, 64),
    }
    kimage = types.struct("kimage")
    assert kimage.fields["nr_segments"] == Field(builder.NR_SEGMENTS * 8, 64)
    assert kimage.fields["segment"] == Field(builder.SEGMENTS * 8, 16 * 32 * 8, 16)
    assert kimage.fields["hotplug_support"] == Field(5123, 1)


def test_btf_without_the_structure_says_so() -> None:
    with pytest.raises(ParseError, match="no struct kmiage"):
        Btf(builder.btf()).struct("kmiage")


def test_a_structure_without_a_member_that_is_needed_is_refused() -> None:
    with pytest.raises(ParseError, match="struct kimage has no type"):
        parse_structs(builder.btf(bits={"file_mode": (5122, 1)}))


def test_bits_are_counted_from_the_end_that_the_byte_order_says() -> None:
    assert extract(b"\x00\x04", "little", Field(10, 1)) == 1
    assert extract(b"\x00\x20", "big", Field(10, 1)) == 1
    assert extract(b"\x12\x34", "big", Field(4, 8)) == 0x23
    assert extract(b"\x12\x34", "little", Field(4, 8)) == 0x41
    with pytest.raises(ParseError):
        extract(b"\x00", "little", Field(7, 2))


@ORDERS
@pytest.mark.parametrize(
    ("bits", "flags", "updatable"),
    [
        (builder.HOTPLUG_SUPPORT, (), False),
        (builder.HOTPLUG_SUPPORT, ("hotplug_support",), True),
        (builder.HOTPLUG_SUPPORT, ("file_mode",), True),
        (builder.UPDATE_BOTH, ("update_elfcorehdr",), False),
        (builder.UPDATE_BOTH, ("update_elfcorehdr", "update_fdt"), True),
        (builder.NO_HOTPLUG, ("file_mode",), False),
    ],
)
def test_kimage_tells_how_it_was_loaded_and_whether_the_kernel_may_update_it(
    byteorder: ByteOrder, bits: dict[str, tuple[int, int]], flags: tuple[str, ...], updatable: bool
) -> None:
    structs = parse_structs(builder.btf(byteorder, bits))
    data = builder.kimage(byteorder, [(0x10000, 0x2000, 0x1800)], flags, bits)
    image = parse_kimage(data, structs, byteorder)
    assert image.segments == (Segment(mem=0x10000, memsz=0x2000, bufsz=0x1800),)
    assert image.file_mode == ("file_mode" in flags)
    assert {name for name, value in image.hotplug_bits.items() if value} == set(flags) - {"file_mode"}
    assert image.updatable is updatable


@pytest.mark.parametrize("segments", [[], [(0x1000, 0, 0)], [(0x1000, 10, 11)]])
def test_what_cannot_be_a_crash_image_is_refused(segments: list[tuple[int, int, int]]) -> None:
    with pytest.raises(ParseError):
        parse_kimage(builder.kimage("little", segments), parse_structs(builder.btf()), "little")
    with pytest.raises(ParseError):
        parse_kimage(bytes(builder.KIMAGE_SIZE), parse_structs(builder.btf()), "little")


# elfcorehdr


@ORDERS
def test_elfcorehdr_lists_notes_and_memory_and_ignores_padding(byteorder: ByteOrder) -> None:
    data = builder.elfcorehdr(
        byteorder, [0x3000, 0x9000], [(0x100000, 0x1FFFFF), (1 << 32, (1 << 33) - 1)], padding=7
    )
    assert parse_elfcorehdr(data + b"leftovers") == ElfCoreHdr(
        (0x3000, 0x9000),
        (Range(0x100000, 0x1FFFFF), Range(1 << 32, (1 << 33) - 1)),
        size=EHDR_SIZE + (2 + 2 + 7) * PHDR_SIZE,
    )


def test_a_backed_up_area_counts_where_it_came_from() -> None:
    data = builder.elf_core("little", [(1, 0x3000_0000, 0, 0, 0xA0000)])
    assert parse_elfcorehdr(data).loads == (Range(0, 0x9FFFF),)


def test_elfcorehdr_that_leaves_the_address_space_is_refused() -> None:
    data = builder.elf_core("little", [(1, 0, 0, (1 << 64) - 0x1000, 0x1001)])
    with pytest.raises(ParseError, match="address space"):
        parse_elfcorehdr(data)


def test_elfcorehdr_of_a_32_bit_kernel_is_refused_by_name() -> None:
    data = bytearray(builder.elfcorehdr("little", [], []))
    data[4] = 1
    with pytest.raises(ParseError, match="only 64-bit"):
        parse_elfcorehdr(bytes(data))


def test_truncated_elfcorehdr_is_refused() -> None:
    with pytest.raises(ParseError, match="do not fit"):
        parse_elfcorehdr(builder.elfcorehdr("little", [1, 2], [])[:-1])


# kcore


@ORDERS
def test_kcore_reads_by_virtual_and_by_physical_address(byteorder: ByteOrder) -> None:
    data = builder.kcore(
        byteorder, [(0xFFFF0000, builder.KERNEL_AT, b"kernel text"), (0xC0001000, 0x1000, b"memory")]
    )
    memory = parse_kcore(pread_of(data))
    assert memory.header.byteorder == byteorder
    assert memory.read_virtual(0xFFFF0007, 4) == b"text"
    assert memory.read_physical(0x1002, 4) == b"mory"


def test_physical_memory_without_p_paddr_is_found_through_the_linear_map() -> None:
    areas = [
        (0xFFFF0000, builder.KERNEL_AT, b"text"),  # at a distance of its own
        (0xC0001000, 0x1000, b"memory"),
        (0xC0008000, (1 << 64) - 1, b"crash area"),
    ]
    entries = builder.kcore("little", areas)
    assert parse_kcore(pread_of(entries)).read_physical(0x8006, 4) == b"area"


def test_powerpc_has_a_linear_map_even_if_kcore_tells_of_no_physical_address() -> None:
    unknown = (1 << 64) - 1
    areas = [(0xC000_0000_0000_8000, unknown, b"crash area"), (0xC008_0000_0000_0000, unknown, b"vmalloc")]
    assert parse_kcore(pread_of(builder.kcore("big", areas))).read_physical(0x8000, 5) == b"crash"


def test_memory_that_kcore_does_not_cover_or_that_ends_early_has_changed() -> None:
    data = builder.kcore("little", [(0xC0001000, 0x1000, b"memory")])
    memory = parse_kcore(pread_of(data[:-2]))
    for address, size in ((0xC0001004, 2), (0xC0001004, 3), (0xC0000FFF, 2), ((1 << 64) - 1, 8)):
        with pytest.raises(ChangedError):
            memory.read_virtual(address, size)
    with pytest.raises(ChangedError):
        memory.read_physical(0x2000, 1)


def test_modules_beside_the_kernels_text_are_not_mistaken_for_ram() -> None:
    """On x86 both lie at a distance to physical memory that is not the linear map's."""
    areas = [
        (0xFFFF_0000, 0x1000, b"text"),
        (0xFFFF_8000, (1 << 64) - 1, b"modules"),
        (0xC000_0000, 0, b"lots of memory"),
    ]
    with pytest.raises(ChangedError):
        parse_kcore(pread_of(builder.kcore("little", areas))).read_physical(0x9000, 4)


def test_offsets_that_no_file_can_have_are_not_asked_for() -> None:
    def pread(size: int, offset: int) -> bytes:
        assert offset + size < 1 << 63
        return data[offset : offset + size]

    data = builder.elf_core("little", [(1, (1 << 64) - 8, 0x1000, 0x1000, 0x1000)])
    with pytest.raises(ChangedError):
        parse_kcore(pread).read_virtual(0x1000, 8)


# /proc and /sys


def test_iomem_finds_memory_at_every_level_and_from_every_driver() -> None:
    iomem = parse_iomem(
        "00001000-0009fbff : System RAM\n"
        "00100000-7fffffff : System RAM\n"
        "  10000000-1fffffff : Crash kernel\n"
        "  20000000-23ffffff : GART\n"
        "100000000-1ffffffff : Soft Reserved\n"
        "  100000000-1ffffffff : dax0.0\n"
        "    100000000-1ffffffff : System RAM (kmem)\n"
        "200000000-2ffffffff : System RAM (virtio_mem)\n"
        "300000000-3ffffffff : System RAM board thing\n"
    )
    assert iomem.ram == (Range(0x1000, 0x9FBFF), Range(0x100000, 0x7FFFFFFF), Range(0x100000000, 0x2FFFFFFFF))
    assert iomem.crash_kernel == (Range(0x10000000, 0x1FFFFFFF),)
    assert iomem.gart == (Range(0x20000000, 0x23FFFFFF),)


def test_iomem_without_addresses_is_a_missing_privilege_not_an_empty_machine() -> None:
    with pytest.raises(UnreadableError) as caught:
        parse_iomem("00000000-00000000 : System RAM\n00000000-00000000 : Reserved\n")
    assert caught.value.reason is Cause.NO_PERMISSION


@pytest.mark.parametrize("text", ["nonsense\n", "00002000-00001fff : System RAM\n", "2-1\n"])
def test_lines_that_are_no_ranges_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        parse_iomem(text)
    with pytest.raises(ParseError):
        parse_cma_ranges(text)


def test_cma_ranges_are_read_as_the_kernel_writes_them() -> None:
    assert parse_cma_ranges("40000000-4fffffff\n180000000-18fffffff\n") == (
        Range(0x40000000, 0x4FFFFFFF),
        Range(0x180000000, 0x18FFFFFFF),
    )


def write_kallsyms(root: Path, text: str) -> None:
    (root / "proc").mkdir()
    (root / "proc/kallsyms").write_text(text)


def test_kallsyms_takes_the_kernels_own_symbol_wherever_chunks_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdumphpd.image.kallsyms.CHUNK", 70)
    write_kallsyms(
        tmp_path,
        "ffffffff81000000 T _text\nffffffff82000010 d a_crashk_res\nffffffff82000020 D crashk_res\n"
        "ffffffffc0000000 d kexec_crash_image\t[fake]\nffffffff82000030 B kexec_crash_image\n",
    )
    assert find_symbols(tmp_path, ["kexec_crash_image", "crashk_res", "crashk_low_res"]) == {
        "crashk_res": 0xFFFFFFFF82000020,
        "kexec_crash_image": 0xFFFFFFFF82000030,
    }


def test_kallsyms_of_zeros_is_kptr_restrict(tmp_path: Path) -> None:
    write_kallsyms(tmp_path, "0000000000000000 B kexec_crash_image\n0000000000000000 D crashk_res\n")
    with pytest.raises(UnreadableError) as caught:
        find_symbols(tmp_path, ["kexec_crash_image", "crashk_res"])
    assert caught.value.reason is Cause.KPTR_RESTRICT
