# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kdumphpd.load import initrd
from kdumphpd.load.initrd import GZIP, LZ4, XZ, ZSTD, Tool
from kdumphpd.load.kernel_file import Pread
from tests.unit.load.archives import PACKERS, cpio, entry, packed


def pread(data: bytes) -> Pread:
    return lambda at, size: data[at : at + size]


def part(data: bytes) -> tuple[int, Tool] | None:
    return initrd.compressed_part(pread(data), len(data))


def end(data: bytes, begin: int = 0) -> int | None:
    return initrd.end_of_data(pread(data), len(data), begin)


@pytest.mark.parametrize(
    ("kind", "tool"), [("gzip", GZIP), ("xz", XZ), ("zstd", ZSTD), ("lz4", LZ4), ("lz4 frame", LZ4)]
)
def test_what_it_is_compressed_with_is_told_by_its_first_bytes(kind: str, tool: Tool) -> None:
    assert part(packed(kind, 100)) == (0, tool)


@pytest.mark.parametrize("padding", [0, 4, 512, 70_000])
def test_uncompressed_archives_before_it_are_walked_over(padding: int) -> None:
    before = cpio(1000) + bytes(512) + cpio(333) + bytes(padding)
    assert part(before + packed("zstd", 100)) == (len(before), ZSTD)


def test_one_without_a_trailer_is_too() -> None:
    before = entry("kernel/x86/microcode/GenuineIntel.bin", bytes(999))
    assert part(before + packed("zstd", 100)) == (len(before), ZSTD)


@pytest.mark.parametrize(
    "data",
    [b"", b"No space left on device\n", bytes(4096), cpio(100), cpio(100)[:-700], cpio(100) + b"#BOOTCONFIG\n"],
)
def test_where_there_is_none_nothing_is_known(data: bytes) -> None:
    assert part(data) is None


def test_a_walk_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initrd, "MAX_FILES", 3)
    assert part(entry("a", b"") * 2 + packed("gzip", 100))
    assert part(entry("a", b"") * 3 + packed("gzip", 100)) is None
    monkeypatch.setattr(initrd, "MAX_PADDING", 65536)
    assert part(cpio(100) + bytes(70_000) + packed("gzip", 100)) is None


@pytest.mark.parametrize("kind", ["xz", "lz4"])
def test_zeros_behind_it_are_not_a_part_of_it(kind: str) -> None:
    data = packed(kind, 1000)
    before = cpio(100)
    assert end(data + bytes(1021)) == len(data)
    assert end(before + data + bytes(1021), len(before)) == len(before) + len(data)
    assert end(data) is None
    assert end(b"\xfd7zXZ\0" + bytes(initrd.MAX_PADDING + 100)) is None


def test_blocks_of_lz4_are_counted_for_they_may_end_in_zeros_of_their_own() -> None:
    data = packed("lz4", 1000)
    assert data.endswith(bytes(4))
    twice = data + data
    assert end(twice + bytes(3)) == len(twice)
    assert end(data + b"#BOOTCONFIG\n") == len(data)
    assert end(data[:-10]) is None


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"070701", b"070701" + b"0" * 104, cpio(16), *(packed(kind, 16) for kind in PACKERS)]),
)
@example(b"F" * 104, b"070701")
def test_whatever_the_bytes_they_are_known_or_not(data: bytes, before: bytes) -> None:
    found = part(before + data)
    if found:
        assert end(before + data, found[0]) is not False
