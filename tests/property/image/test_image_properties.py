# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever the bytes, a parser returns or raises ParseError; and what was written is read back."""

import json
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kdumphpd.image import cmdline, fingerprint
from kdumphpd.image.btf import Btf
from kdumphpd.image.elf import EHDR_SIZE, PHDR_SIZE, ByteOrder
from kdumphpd.image.elfcorehdr import ElfCoreHdr, parse_elfcorehdr
from kdumphpd.image.errors import ChangedError, ParseError, UnreadableError
from kdumphpd.image.fdt import parse_fdt
from kdumphpd.image.fingerprint import Fingerprint
from kdumphpd.image.iomem import parse_iomem
from kdumphpd.image.kcore import parse_kcore
from kdumphpd.image.kimage import Segment, parse_kimage
from kdumphpd.image.layout import MEMBERS, parse_structs
from kdumphpd.image.machine import Machine, parse_cma_ranges
from kdumphpd.image.ranges import Range, union
from kdumphpd.image.reader import Image, inspect
from kdumphpd.image.srat import parse_srat
from kdumphpd.image.verdict import ImageState, judge
from tests.unit.image import builder, fdts

SECONDS = 2.0  # for one input; the largest that is made here takes milliseconds
ORDERS: tuple[ByteOrder, ...] = ("little", "big")
STRUCTS = {order: parse_structs(builder.btf(order)) for order in ORDERS}
CORPUS = Path(__file__).parents[2] / "fixtures/image/fuzz"


def read_btf(data: bytes) -> None:
    types = Btf(data)
    for name in MEMBERS:
        types.struct(name)


def read_little_kimages(data: bytes) -> None:
    parse_kimage(data, STRUCTS["little"], "little")


def read_big_kimages(data: bytes) -> None:
    parse_kimage(data, STRUCTS["big"], "big")


def read_kcore(data: bytes) -> None:
    try:
        memory = parse_kcore(lambda size, offset: data[offset : offset + size])
    except OSError:
        return  # the file ends before its program headers do, which is an I/O error here as on a device
    for address in (0, 0x1000, 0xC0001000, (1 << 64) - 1, *(load.vaddr for load in memory.loads[:8])):
        for read in (memory.read_virtual, memory.read_physical):
            with suppress(ChangedError):
                assert len(read(address, 16)) == 16


def read_iomem(data: bytes) -> None:
    try:
        parse_iomem(data.decode("ascii", "replace"))
    except UnreadableError:
        return  # addresses that are all zero are a missing privilege, not bad bytes


def read_cma_ranges(data: bytes) -> None:
    parse_cma_ranges(data.decode("ascii", "replace"))


def read_boot_params(data: bytes) -> None:
    assert 0 <= cmdline.pointer(data) < 1 << 64


def read_command_line(data: bytes) -> None:
    assert cmdline.missing(cmdline.decode(data)) in ("", cmdline.NO_MEMHOTPLUG)


def read_fingerprint(data: bytes) -> None:
    with suppress(ValueError):
        known = Fingerprint.from_json(json.loads(data))
        assert not fingerprint.change(known, Fingerprint.from_json(known.to_json()))
        fingerprint.change(known, Fingerprint((Range(0, 4095),), "0-7"))


def srat() -> bytes:
    memory = [
        struct.pack("<BBIHQQIIQ", 1, 40, 0, 0, start, 1 << 30, 0, flags, 0)
        for start, flags in ((0, 1), (4 << 30, 3), (6 << 30, 2))
    ]
    entries = bytes([0, 16]) + bytes(14) + b"".join(memory)
    return struct.pack("<4sI40x", b"SRAT", 48 + len(entries)) + entries


def trees() -> bytes:
    return fdts.flatten(
        fdts.device_tree([fdts.cpu_node(0, 4), fdts.cpu_node(1, 4)]),
        slack=64,
        reserved=((0x1000, 0x400), (1 << 32, 1 << 20)),
    )


SEGMENTS = [(0x1000, 0x2000, 0x100)] * 3
PARSERS: dict[str, tuple[Callable[[bytes], object], list[bytes]]] = {
    "btf": (read_btf, [builder.btf(order) for order in ORDERS]),
    "kimage": (read_little_kimages, [builder.kimage("little", SEGMENTS)]),
    "kimage-big": (read_big_kimages, [builder.kimage("big", SEGMENTS)]),
    "elfcorehdr": (
        parse_elfcorehdr,
        [builder.elfcorehdr(order, [0x3000, 0x3200], [(0, 0xFFFF), (1 << 32, (1 << 33) - 1)], 2) for order in ORDERS],
    ),
    "fdt": (parse_fdt, [trees()]),
    "kcore": (
        read_kcore,
        [
            builder.kcore(order, [(0xFFFF0000, 1 << 20, b"t" * 32), (0xC0001000, 0x1000, b"m" * 32)])
            for order in ORDERS
        ],
    ),
    "iomem": (read_iomem, [b"00001000-0009fbff : System RAM\n00100000-1ffffffff : System RAM\n  01-02 : GART\n"]),
    "cma": (read_cma_ranges, [b"40000000-4fffffff\n180000000-18fffffff\n"]),
    "srat": (parse_srat, [srat()]),
    "boot-params": (read_boot_params, [builder.boot_params("root=/dev/vda")[:0x268]]),
    "command-line": (read_command_line, [b'root="a b" acpi=off\0', b"memhp_default_state=offline -- x\0"]),
    "fingerprint": (
        read_fingerprint,
        [
            json.dumps(known.to_json()).encode()
            for known in (
                Fingerprint((Range(0x1000, 0x9FFFF), Range(1 << 20, 1 << 30)), "0-3,8"),
                Fingerprint(
                    tuple(Range(n << 30, (n << 30) + 4095) for n in range(99)), ",".join(map(str, range(0, 999, 2)))
                ),
            )
        ],
    ),
}


def feed(parse: Callable[[bytes], object], data: bytes) -> None:
    """Fail on anything but a result or a ParseError, within SECONDS."""
    start = time.process_time()
    with suppress(ParseError):
        parse(data)
    assert time.process_time() - start < SECONDS


@st.composite
def mutations(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """Well-formed bytes with a few words, bytes or stretches of them changed: what passes the first checks."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from(["byte", "word", "cut", "drop", "repeat"])):
            case "byte":
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "word":
                value = draw(st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]) | st.integers(0, 64))
                word = value.to_bytes(4, draw(st.sampled_from(ORDERS)))
                data[at & ~3 : (at & ~3) + 4] = word
            case "cut":
                del data[at:]
            case "drop":
                del data[at : at + draw(st.integers(1, 16))]
            case _:
                data[at:at] = data[at : at + draw(st.integers(1, 64))]
    return bytes(data)


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_bad_bytes_give_parse_error_and_nothing_else(name: str, data: st.DataObject) -> None:
    parse, seeds = PARSERS[name]
    feed(parse, data.draw(mutations(seeds) | st.binary(max_size=512)))


@pytest.mark.parametrize("name", PARSERS)
def test_well_formed_bytes_cut_anywhere(name: str) -> None:
    parse, seeds = PARSERS[name]
    for seed in seeds:
        parse(seed)
        for end in range(0, len(seed), max(1, len(seed) // 400)):
            feed(parse, seed[:end])


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_corpus(path: Path) -> None:
    """Inputs kept because they are the worst of their kind, by parser: tests/fixtures/image/fuzz/PARSER/NAME."""
    feed(PARSERS[path.parent.name][0], path.read_bytes())


# What was written is read back


RANGES = st.builds(
    lambda start, size: (start, start + size), st.integers(0, (1 << 63) - 1), st.integers(0, (1 << 62) - 1)
)
ADDRESSES = st.integers(0, (1 << 64) - 1)


@given(st.sampled_from(ORDERS), st.lists(ADDRESSES), st.lists(RANGES), st.integers(0, 9))
def test_elfcorehdr_round_trip(
    byteorder: ByteOrder, notes: list[int], loads: list[tuple[int, int]], padding: int
) -> None:
    read = parse_elfcorehdr(builder.elfcorehdr(byteorder, notes, loads, padding))
    assert (read.notes, read.loads) == (tuple(notes), tuple(Range(*r) for r in loads))
    assert read.size == EHDR_SIZE + (len(notes) + len(loads) + padding) * PHDR_SIZE


@given(
    st.sampled_from(ORDERS),
    st.lists(st.tuples(ADDRESSES, st.integers(1, 1 << 40)), min_size=1, max_size=16),
    st.sets(st.sampled_from(["file_mode", "hotplug_support"])),
)
def test_kimage_round_trip(byteorder: ByteOrder, segments: list[tuple[int, int]], flags: set[str]) -> None:
    data = builder.kimage(byteorder, [(mem, memsz, memsz // 2) for mem, memsz in segments], flags)
    read = parse_kimage(data, STRUCTS[byteorder], byteorder)
    assert read.segments == tuple(Segment(mem, memsz, memsz // 2) for mem, memsz in segments)
    assert read.file_mode == ("file_mode" in flags)
    assert read.hotplug_bits == {"hotplug_support": "hotplug_support" in flags}


@given(st.lists(st.integers(0, 40), unique=True), st.integers(1, 8), st.integers(0, 9000))
def test_fdt_round_trip(cores: list[int], threads: int, slack: int) -> None:
    nodes = [fdts.cpu_node(core, threads, extra=core) for core in cores]
    read = parse_fdt(fdts.flatten(fdts.device_tree(nodes), slack))
    assert read.hw_ids == {core * threads + t for core in cores for t in range(threads)}
    assert read.slack == slack


# The verdict


MIB = 1 << 20
BLOCK = 128 * MIB
MACHINE = Machine((), (), (), (), (), 4096, BLOCK)


@given(st.sets(st.integers(1, 40)), st.sets(st.integers(1, 40)), st.sets(st.integers(1, 40)))
@example({1}, {1}, set())
def test_the_verdict_names_exactly_the_blocks_that_differ(
    plugged: set[int], described: set[int], off: set[int]
) -> None:
    def blocks(numbers: set[int]) -> tuple[Range, ...]:
        return union(Range(n * BLOCK, (n + 1) * BLOCK - 1) for n in numbers)

    kimage = parse_kimage(builder.kimage("little", [(0, 1, 1)]), STRUCTS["little"], "little")
    image = Image(kimage, ElfCoreHdr((), blocks(described)), None, ())
    machine = Machine(blocks(plugged), (), (), blocks(off & plugged), (), 4096, BLOCK)
    verdict = judge(image, machine)
    assert verdict.missing == blocks(plugged - described - off)
    assert verdict.gone == blocks(described - plugged)
    assert (verdict.state is ImageState.CURRENT) == (not verdict.missing and not verdict.gone)


# A whole kernel of which any byte of memory may be wrong


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1 << 24), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4))
def test_any_memory_is_an_image_none_or_unreadable(tmp_path: Path, changes: list[tuple[int, bytes]]) -> None:
    kcore = tmp_path / "proc/kcore"
    pristine = tmp_path / "pristine"
    if not pristine.exists():
        builder.Kernel(tmp_path, "big", tree=trees()).write()
        pristine.write_bytes(kcore.read_bytes())
    data = bytearray(pristine.read_bytes())
    # Most of it is padding: half of the changes go where the headers, variables and structures are.
    for at, change in changes:
        at = at % 0x4800 if at % 2 else at % len(data)
        data[at : at + len(change)] = change
    kcore.write_bytes(data)
    try:
        inspect(tmp_path, sleep=lambda _: None)
    except UnreadableError as error:
        assert error.detail
