# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a compressed archive ends, for each kind that a kernel unpacks.

Every function takes the file and the position at which the archive begins, its magic number already seen, and returns
the position after it, which is beyond the end of the file where the archive is cut short. All raise Damaged, CutShort
included.
"""

import bz2
import lzma
import zlib

from kdumphpd.reload.content import CHUNK, Content, Damaged

UNPACKED = 1 << 20  # bytes; how much is unpacked, and dropped, at a time

BZIP2_END = 0x177245385090  # the square root of pi, then a CRC of 32 bits
BZIP2_TAIL = 11  # bytes that hold both and what fills the last byte

# A dictionary larger than that is more than a capture kernel has memory for.
XZ_MEMORY = 512 << 20  # bytes
XZ_HEADER = XZ_FOOTER = 12  # bytes

ZSTD_BLOCK_MAX = 128 << 10  # bytes, RFC 8878, 3.1.1.2.4
ZSTD_RLE, ZSTD_RESERVED = 1, 3

LZ4_MAGIC = 0x184C2102
LZ4_BLOCK = 8 << 20  # bytes that every block but the last unpacks to
LZ4_BLOCK_MAX = LZ4_BLOCK + LZ4_BLOCK // 255 + 16  # LZ4_compressBound()
# An archive of cpio ends with this name and zeros. lz4 leaves it in plain text, unless it was there shortly before.
TRAILER = b"TRAILER!!!"
LZ4_TAIL = 64  # bytes


def gzip(content: Content, start: int) -> int:
    """Source: RFC 1952. It has to be unpacked: nothing but its last block says where it ends."""
    inflater = zlib.decompressobj(wbits=31)
    at, piece = start, b""
    while not inflater.eof:
        if not piece:
            piece = content.peek(at, CHUNK)
            at += len(piece)
        try:
            unpacked = inflater.decompress(piece, UNPACKED)
        except zlib.error as error:
            raise Damaged(f"is damaged: the gzip archive that begins at byte {start}: {error}") from error
        if not piece and not unpacked:
            raise content.cut_short()
        content.spend(len(unpacked) >> 10)
        piece = inflater.unconsumed_tail
    return at - len(inflater.unused_data)


def bzip2(content: Content, start: int) -> int:
    """Source: the source of bzip2 1.0.8. It is unpacked only where the file does not end as one: that is slow."""
    end = content.end_of_data()
    # Up to 5 zero bytes are a part of it: of the CRC, and the bits that fill the last byte.
    tail = int.from_bytes(content.peek(max(start, end - BZIP2_TAIL), BZIP2_TAIL), "big") << 40
    for bits in range(48):
        if tail >> bits + 32 & (1 << 48) - 1 == BZIP2_END:
            return end + (47 - bits) // 8
    return _unpack(bz2.BZ2Decompressor(), content, start)


def xz(content: Content, start: int) -> int:
    """Source: The .xz File Format 1.2. It is unpacked only where the file does not end as one: that is slow."""
    end = content.end_of_data()
    if end - start >= XZ_HEADER + XZ_FOOTER:
        footer = content.read(end - XZ_FOOTER, XZ_FOOTER)
        index = end - XZ_FOOTER - (_little(footer[4:8]) + 1) * 4
        if (
            footer.endswith(b"YZ")
            and zlib.crc32(footer[4:10]) == _little(footer[:4])
            and index >= start + XZ_HEADER
            and content.read(index, 1) == b"\0"  # the Index Indicator
        ):
            return end
    return _unpack(lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY), content, start)


def zstd(content: Content, start: int) -> int:
    """Source: RFC 8878. The sizes of its blocks lead to its end."""
    descriptor = content.read(start + 4, 1)[0]
    single_segment = descriptor >> 5 & 1
    at = start + 5
    at += 1 - single_segment  # Window_Descriptor
    at += (0, 1, 2, 4)[descriptor & 3]  # Dictionary_ID
    at += (single_segment, 2, 4, 8)[descriptor >> 6]  # Frame_Content_Size
    while True:
        header = _little(content.read(at, 3))
        kind, size = header >> 1 & 3, header >> 3
        if kind == ZSTD_RESERVED or size > ZSTD_BLOCK_MAX:
            raise Damaged(f"is damaged: there is no block of a zstd archive at byte {at}")
        at += 3 + (1 if kind == ZSTD_RLE else size)
        if header & 1:  # Last_Block
            return at + (4 if descriptor & 4 else 0)  # Content_Checksum


def skippable(content: Content, start: int) -> int:
    """A frame that the decompressors of zstd and lz4 pass over (RFC 8878, 3.1.2)."""
    return start + 8 + _little(content.read(start + 4, 4))


def lz4_frame(content: Content, start: int) -> int:
    """Source: LZ4 Frame Format 1.6. The sizes of its blocks lead to its end."""
    flags = content.read(start + 4, 1)[0]
    block_checksum, content_checksum = (4 if flags & bit else 0 for bit in (0x10, 0x04))
    at = start + 7  # magic number, FLG, BD, HC
    at += (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)  # Content Size, Dictionary ID
    while size := _little(content.read(at, 4)):
        at += 4 + (size & 0x7FFFFFFF) + block_checksum
    return at + 4 + content_checksum


def lz4_legacy(content: Content, start: int) -> int:
    """The only lz4 that kernels know: blocks and their sizes, and no mark at the end (lib/decompress_unlz4.c)."""
    at, block = start + 4, 0
    while at < content.size:
        field = content.peek(at, 4)
        size = _little(field)
        if size == LZ4_MAGIC:  # another one
            at, block = at + 4, 0
        elif size and len(field) < 4:
            raise content.cut_short()
        elif size == 0 or size > LZ4_BLOCK_MAX:  # padding, or something else
            break
        else:
            at, block = at + 4 + size, size
    if block == 0 and at < content.size:
        raise Damaged(f"is damaged: the lz4 archive that begins at byte {start} is empty")
    if block == 0 or (at == content.size and _is_followed(content.read(at - block, block))):
        raise content.cut_short()
    return at


def rest(content: Content, _start: int) -> int:
    """For what nobody can tell about: it is taken for whole."""
    return content.size


def _is_followed(block: bytes) -> bool:
    """Whether there must have been another lz4 block after this one: only the last is smaller than 8 MiB.

    A file can also end with a full block, so the end of its cpio archive is looked for first.
    """
    return TRAILER not in block[-LZ4_TAIL:] and _lz4_length(block) == LZ4_BLOCK


def _lz4_length(block: bytes) -> int:
    """How many bytes a block unpacks to. Source: LZ4 Block Format."""
    at = length = 0

    def extended(length: int) -> int:
        nonlocal at
        if length == 15:
            while block[at] == 255:
                length += 255
                at += 1
            length += block[at]
            at += 1
        return length

    try:
        while True:
            token = block[at]
            at += 1
            literals = extended(token >> 4)
            at += literals
            length += literals
            if at >= len(block):
                return length
            at += 2  # offset of the match
            length += extended(token & 15) + 4
    except IndexError:  # no lz4 block
        return length


def _unpack(unpacker: bz2.BZ2Decompressor | lzma.LZMADecompressor, content: Content, start: int) -> int:
    at = start
    while not unpacker.eof:
        piece = b""
        if unpacker.needs_input:
            piece = content.peek(at, CHUNK)
            at += len(piece)
            if not piece:
                raise content.cut_short()
        try:
            unpacked = unpacker.decompress(piece, UNPACKED)
        except (lzma.LZMAError, OSError, ValueError) as error:
            raise Damaged(f"is damaged: the archive that begins at byte {start}: {error}") from error
        content.spend(len(unpacked) >> 10)
    return at - len(unpacker.unused_data)


def _little(field: bytes) -> int:
    return int.from_bytes(field, "little")
