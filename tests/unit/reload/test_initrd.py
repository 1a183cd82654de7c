# SPDX-License-Identifier: GPL-2.0-or-later
import lzma
import random
import zlib

import pytest

from kdumphpd.reload import content as content_module
from kdumphpd.reload.compressed import LZ4_BLOCK
from kdumphpd.reload.content import CHUNK, CutShort, Damaged
from kdumphpd.reload.initrd import check
from tests.unit.reload.archives import COMPRESSED, SINGLE, content, early, end_of_trailer, packed, piped, tree

SMALL, LARGE = 300, 300_000  # bytes of each file: an archive in one piece, and one of many blocks

KINDS = pytest.mark.parametrize("kind", list(COMPRESSED))
SINGLES = pytest.mark.parametrize("kind", list(SINGLE))
FORMS = pytest.mark.parametrize("form", ["newc", "crc"])


def is_cut_short(data: bytes) -> bool:
    try:
        check(content(data))
    except CutShort as error:
        return str(error).startswith(f"ends after {len(data)} bytes")
    return False


# --- whole ------------------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_compressed_initrd_is_whole(kind: str, size: int) -> None:
    check(content(packed(kind, size)))


@FORMS
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_an_uncompressed_initrd_is_whole(form: str, size: int) -> None:
    check(content(tree(size, form)))


@KINDS
@pytest.mark.parametrize("padding", [0, 1, 512, CHUNK + 5])
def test_an_early_archive_may_be_in_front_and_zeros_anywhere(kind: str, padding: int) -> None:
    zeros = bytes(padding)
    check(content(zeros + early() + zeros + packed(kind, SMALL) + zeros))


@KINDS
def test_any_archive_may_follow_any_other(kind: str) -> None:
    first = packed(kind, SMALL)
    # lz4 tells no end: there a zero in place of the size of the next block is needed, for the kernel as well.
    zeros = bytes(4 + -len(first) % 4)
    for other in COMPRESSED:
        check(content(first + zeros + packed(other, SMALL)))


def test_an_archive_without_a_trailer_may_be_followed_by_another() -> None:
    # "Optional", says a comment in init/initramfs.c.
    without = early()[: early().index(b"07070100000000", 200)]
    assert b"TRAILER!!!" not in without
    check(content(without + packed("gzip", SMALL)))
    check(content(without + bytes(512) + tree(SMALL)))


@KINDS
def test_what_the_kernel_does_not_know_behind_an_archive_does_not_keep_it_from_booting(kind: str) -> None:
    bootconfig = b'kernel { loglevel = "7" }\n\0'
    appendix = bootconfig + len(bootconfig).to_bytes(4, "little") + bytes(4) + b"#BOOTCONFIG\n"
    check(content(packed(kind, SMALL) + appendix))


@pytest.mark.parametrize("magic", [b"\x5d\x00\x00\x80", b"\x89LZO\0\r\n\x1a\n", b"hsqs", b"-rom1fs-"])
def test_where_nobody_can_tell_the_initrd_is_taken_for_whole(magic: bytes) -> None:
    check(content(magic + bytes(range(1, 256))))


def test_an_initrd_may_be_a_file_system() -> None:
    check(content(b"\x01" * 1080 + b"\x53\xef" + bytes(100)))


# --- cut short --------------------------------------------------------------------------------------------


@SINGLES
def test_a_compressed_initrd_that_is_cut_anywhere_is_found(kind: str) -> None:
    data = packed(kind, SMALL)
    assert [n for n in range(1, len(data)) if not is_cut_short(data[:n])] == []


@SINGLES
def test_a_large_compressed_initrd_that_is_cut_is_found(kind: str) -> None:
    data = early() + packed(kind, LARGE)
    choice = random.Random(kind)
    cuts = [choice.randrange(len(early()) + 1, len(data)) for _ in range(10)]
    assert [n for n in cuts if not is_cut_short(data[:n])] == []


@FORMS
def test_an_uncompressed_initrd_that_is_cut_anywhere_is_found(form: str) -> None:
    data = tree(SMALL, form)
    missed = [n for n in range(1, end_of_trailer(data)) if not is_cut_short(data[:n])]
    assert missed == []
    for n in range(end_of_trailer(data), len(data)):  # the padding need not be there
        check(content(data[:n]))


def test_an_uncompressed_initrd_with_zeros_where_files_were_is_found() -> None:
    # As a file system leaves it that had the size of the file on disk, and not yet its content.
    data = tree(SMALL)
    at = data.index(b"070701", len(data) // 2)
    assert is_cut_short(data[:at] + bytes(len(data) - at))


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz", "zstd"])
def test_a_compressed_initrd_with_zeros_where_its_end_was_is_found(kind: str) -> None:
    data = packed(kind, LARGE)
    with pytest.raises(Damaged):
        check(content(data[: len(data) // 2] + bytes(len(data) - len(data) // 2)))


def test_an_lz4_archive_that_is_cut_between_two_blocks_is_found() -> None:
    # Nothing but a last block that is a full one tells.
    data = piped("lz4", "-l")(tree(LZ4_BLOCK // 2) + tree(LARGE))
    first = 8 + int.from_bytes(data[4:8], "little")
    assert first < len(data)
    assert is_cut_short(data[:first])
    check(content(data))


def test_an_lz4_archive_may_end_with_a_full_block() -> None:
    whole = tree(LARGE)
    data = piped("lz4", "-l")(bytes(LZ4_BLOCK - len(whole)) + whole)
    assert 8 + int.from_bytes(data[4:8], "little") == len(data)
    check(content(data))


def test_an_empty_lz4_archive_is_none() -> None:
    with pytest.raises(Damaged, match="begins at byte 0 is empty"):
        check(content(b"\x02\x21\x4c\x18" + bytes(512)))


def test_the_error_says_where_the_archive_begins() -> None:
    data = early() + packed("zstd", LARGE)
    with pytest.raises(CutShort, match=f"ends after 9000 bytes, inside of the zstd .* begins at byte {len(early())}"):
        check(content(data[:9000]))


# --- damaged ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"\x7fELF", b"070707" + bytes(200), b"<html>", b"\x01" * 2000])
def test_what_begins_as_no_initrd_is_none(data: bytes) -> None:
    with pytest.raises(Damaged, match=f"does not begin as any initrd .*byte 0: {data[:4].hex(' ')}"):
        check(content(data))


def test_nothing_but_zeros_is_no_initrd() -> None:
    with pytest.raises(Damaged, match="holds nothing but zeros"):
        check(content(bytes(3 * CHUNK)))


def test_a_gzip_archive_with_a_wrong_checksum_is_damaged() -> None:
    data = bytearray(packed("gzip", SMALL))
    data[-6] ^= 1
    with pytest.raises(Damaged, match=r"gzip archive that begins at byte 0: .*incorrect data check"):
        check(content(bytes(data)))


def test_an_archive_of_cpio_with_something_else_in_it_is_damaged() -> None:
    data = tree(SMALL)
    at = data.index(b"070701", 200)
    with pytest.raises(Damaged, match=f"neither a file nor the end of the cpio archive at byte {at}"):
        check(content(data[:at] + b"junk" + data[at + 4 :]))
    with pytest.raises(Damaged, match=f"neither a file nor the end of the cpio archive at byte {at}"):
        check(content(data[: at + 6] + b"not hex!" + data[at + 14 :]))


def test_a_zstd_block_of_an_impossible_size_is_damage() -> None:
    header = b"\x28\xb5\x2f\xfd\x00\x58"
    for block in (3 << 1, (129 << 10) << 3):  # a reserved type; more than 128 KiB
        with pytest.raises(Damaged, match="no block of a zstd archive at byte 6"):
            check(content(header + block.to_bytes(3, "little") + bytes(200_000) + b"\x01"))


def test_an_xz_archive_whose_dictionary_does_not_fit_in_memory_is_refused() -> None:
    data = bytearray(lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}])[:-12])
    data[12 + 4] = 40  # the dictionary's size: 4 GiB
    header = data[12 : 12 + 8]
    data[20:24] = zlib.crc32(header).to_bytes(4, "little")
    with pytest.raises(Damaged, match="Memory usage limit"):
        check(content(bytes(data)))


def test_bytes_that_lead_on_forever_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_module, "MAX_WORK", 1000)
    with pytest.raises(Damaged, match="more pieces than any file"):
        check(content(b"\x28\xb5\x2f\xfd\x00\x58" + bytes(100_000) + b"\x01"))
    with pytest.raises(Damaged, match="more pieces than any file"):
        check(content(COMPRESSED["gzip"](bytes(1 << 21))))
