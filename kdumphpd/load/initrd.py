# SPDX-License-Identifier: GPL-2.0-or-later
"""Where in an initrd the compressed archive is, and what tests it.

An initrd may begin with uncompressed archives (microcode for the first moments of a boot), with zeros between them.
They are only walked over, a header a file. Whatever is not as expected is "not known", and then nothing is tested:
the capture kernel may know better, and a false alarm costs the reload.
Source: Documentation/driver-api/early-userspace/buffer-format.rst; compressed_formats[] of lib/decompress.c.
"""

import re
from typing import NamedTuple

from kdumphpd.load.kernel_file import Pread

CPIO_HEADER = 110  # bytes, hexadecimal fields of 8 after the magic number
CPIO_FIELDS = re.compile(rb"07070[12][0-9A-Fa-f]{104}")
CPIO_TRAILER = b"TRAILER!!!\0"

MAX_FILES = 10_000  # of the archives that are walked over; microcode has a handful
CHUNK = 1 << 16  # bytes
MAX_PADDING = 64 * CHUNK  # bytes of zeros in one place

LZ4_LEGACY = b"\x02\x21\x4c\x18"
LZ4_BLOCK_MAX = (8 << 20) + (8 << 20) // 255 + 16  # LZ4_compressBound() of the blocks that it is made of
LZ4_MAX_BLOCKS = 10_000


class Tool(NamedTuple):
    """A program that tests an archive on its standard input."""

    argv: tuple[str, ...]
    # How it ends where the archive is whole and something follows that is none, such as a boot configuration or a
    # signature: kernels take that.
    whole: frozenset[int] = frozenset()
    whole_words: str = ""


GZIP = Tool(("gzip", "-t", "-q"), whole=frozenset({2}))
# --single-stream: what follows the first stream is not looked at. Otherwise it is an error like any other.
XZ = Tool(("xz", "-t", "-q", "--single-stream"), whole=frozenset({2}))
ZSTD = Tool(("zstd", "-t", "-q"), whole_words="unsupported format")
# Its errors begin at 20. 1.10 reads ahead, and names the type of what follows.
LZ4 = Tool(("lz4", "-t", "-q"), whole=frozenset({1}), whole_words="ERROR_frameType_unknown")
BZIP2 = Tool(("bzip2", "-t", "-q"))
LZOP = Tool(("lzop", "-t", "-q"))

TOOLS: tuple[tuple[bytes, Tool], ...] = (
    (b"\x1f\x8b", GZIP),
    (b"\xfd7zXZ\0", XZ),
    (b"\x28\xb5\x2f\xfd", ZSTD),
    *((bytes([0x50 + n]) + b"\x2a\x4d\x18", ZSTD) for n in range(16)),  # skippable frames
    (LZ4_LEGACY, LZ4),
    (b"\x04\x22\x4d\x18", LZ4),
    (b"BZh", BZIP2),
    (b"\x89LZO", LZOP),
)
LONGEST_MAGIC = max(len(magic) for magic, _ in TOOLS)


def tool(pread: Pread, at: int) -> Tool | None:
    """What tests the archive that begins at `at`, by its first bytes."""
    head = pread(at, LONGEST_MAGIC)
    return next((tool for magic, tool in TOOLS if head.startswith(magic)), None)


def compressed_part(pread: Pread, size: int) -> tuple[int, Tool] | None:
    """Where the compressed archive of an initrd of `size` bytes begins, and what tests it; None: not known."""
    at = 0
    for _ in range(MAX_FILES):
        if at >= size:
            return None
        entry = pread(at, CPIO_HEADER + len(CPIO_TRAILER))
        if not CPIO_FIELDS.match(entry):
            found = tool(pread, at)
            return (at, found) if found else None
        body, name = int(entry[54:62], 16), int(entry[94:102], 16)
        at = _aligned(_aligned(at + CPIO_HEADER + name) + body)
        if entry.endswith(CPIO_TRAILER, CPIO_HEADER):
            following = _past_zeros(pread, at)
            if following is None:
                return None
            at = following
    return None


def end_of_data(pread: Pread, size: int, begin: int) -> int | None:
    """Where the archive that begins at `begin` ends, without zeros behind it; None where there are none, or too many.

    Archives may end in zeros of their own. Those of lz4's old format mostly do, so its blocks are counted.
    """
    if pread(begin, len(LZ4_LEGACY)) == LZ4_LEGACY:
        return _end_of_lz4(pread, size, begin)
    end = size
    while end > max(begin, size - MAX_PADDING):
        start = max(begin, end - CHUNK)
        if data := pread(start, end - start).rstrip(b"\0"):
            end = start + len(data)
            return end if end < size else None
        end = start
    return None


def _end_of_lz4(pread: Pread, size: int, begin: int) -> int | None:
    """Source: the "Legacy frame" of lz4's doc/lz4_Frame_format.md, and lib/decompress_unlz4.c of the kernel."""
    at = begin + len(LZ4_LEGACY)
    for _ in range(LZ4_MAX_BLOCKS):
        block = int.from_bytes(pread(at, 4), "little")
        if block > LZ4_BLOCK_MAX and pread(at, 4) != LZ4_LEGACY:
            return at
        if block == 0:
            return at if at < size else None
        at += 4 if block > LZ4_BLOCK_MAX else 4 + block
    return None


def _past_zeros(pread: Pread, at: int) -> int | None:
    """The position of the first byte from `at` on that is not zero, within reason."""
    end = at + MAX_PADDING
    while at < end and (piece := pread(at, CHUNK)):
        if rest := piece.lstrip(b"\0"):
            return at + len(piece) - len(rest)
        at += len(piece)
    return None


def _aligned(size: int) -> int:
    return (size + 3) & ~3
