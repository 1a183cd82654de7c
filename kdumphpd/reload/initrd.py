# SPDX-License-Identifier: GPL-2.0-or-later
"""Is an initrd whole? It is walked as the kernel would: one archive after the other, zeros between them.

Source: unpack_to_rootfs() of init/initramfs.c; Documentation/driver-api/early-userspace/buffer-format.rst;
compressed_formats[] of lib/decompress.c. What is in compressed archives is not looked at, and a cut exactly between
two archives leaves an initrd that is whole by all rules of the kernel's. Whatever else leaves a doubt is taken for
whole, too: the capture kernel may know better, and a false alarm costs the reload.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from kdumphpd.reload import compressed
from kdumphpd.reload.content import Content, CutShort, Damaged

CPIO_HEADER = 110  # bytes, hexadecimal fields of 8 after the magic number
CPIO_FIELDS = re.compile(rb"07070[12][0-9A-Fa-f]{104}")
CPIO_TRAILER = compressed.TRAILER + b"\0"

SHOWN = 4  # bytes of an unknown file in an error

# What kernels with CONFIG_BLK_DEV_RAM take for a disk instead (identify_ramdisk_image() of init/do_mounts_rd.c).
FILE_SYSTEMS = (
    (0, b"hsqs"),  # squashfs
    (0, b"-rom1fs-"),
    (0, b"\x45\x3d\xcd\x28"),  # cramfs
    (0, b"\x28\xcd\x3d\x45"),
    (1080, b"\x53\xef"),  # ext2 and its successors
)


class Archive(NamedTuple):
    """Something that an initrd may consist of; `end` is told where it begins and returns where it ends."""

    name: str
    magic: bytes
    end: Callable[[Content, int], int]


def check(content: Content) -> None:
    """Raises Damaged, CutShort included, for an initrd that isn't whole."""
    at = content.past_zeros(0)
    if at == content.size:
        raise Damaged("holds nothing but zeros")
    if _archive(content, at) is None and not _is_file_system(content):
        first = content.peek(at, SHOWN).hex(" ")
        raise Damaged(f"does not begin as any initrd that a kernel knows (at byte {at}: {first})")
    # The kernel stops at what it doesn't know, with an error, and boots with what it has unpacked until then. A boot
    # configuration (Documentation/admin-guide/bootconfig.rst) is such an appendix.
    while at < content.size and (archive := _archive(content, at)):
        try:
            end = archive.end(content, at)
            if end > content.size:
                raise content.cut_short()
        except CutShort as error:
            raise CutShort(f"{error}, inside of the {archive.name} archive that begins at byte {at}") from error
        at = content.past_zeros(end)


def cpio_end(content: Content, start: int) -> int:
    """The position after an archive of files with their names, in the format "newc"."""
    at = start
    while True:
        entry = content.peek(at, CPIO_HEADER + len(CPIO_TRAILER))
        if CPIO_FIELDS.match(entry):
            body, name = int(entry[54:62], 16), int(entry[94:102], 16)
            after = _aligned(_aligned(CPIO_HEADER + name) + body)
            if entry.endswith(CPIO_TRAILER, CPIO_HEADER):
                return min(at + after, content.size)  # the padding need not be there
            at += after
            continue
        # The kernel can do without a trailer, and passes over zeros before whatever follows.
        following = content.past_zeros(at)
        if following >= content.size:
            raise content.cut_short()
        archive = _archive(content, following)
        if archive and archive.end is not cpio_end:
            return following
        if archive and following > at:
            at = following
        elif archive and content.size - at < CPIO_HEADER:
            raise content.cut_short()
        else:
            raise Damaged(f"is damaged: there is neither a file nor the end of the cpio archive at byte {following}")


ARCHIVES = (
    Archive("cpio", b"070701", cpio_end),
    Archive("cpio", b"070702", cpio_end),
    Archive("gzip", b"\x1f\x8b", compressed.gzip),
    Archive("bzip2", b"BZh", compressed.bzip2),
    Archive("lzma", b"\x5d\x00\x00", compressed.rest),
    Archive("xz", b"\xfd7zXZ\0", compressed.xz),
    Archive("lzo", b"\x89LZO", compressed.rest),
    Archive("lz4", b"\x02\x21\x4c\x18", compressed.lz4_legacy),
    Archive("lz4", b"\x04\x22\x4d\x18", compressed.lz4_frame),
    Archive("zstd", b"\x28\xb5\x2f\xfd", compressed.zstd),
    *(Archive("zstd", bytes([0x50 + n]) + b"\x2a\x4d\x18", compressed.skippable) for n in range(16)),
)
LONGEST_MAGIC = max(len(archive.magic) for archive in ARCHIVES)


def _archive(content: Content, at: int) -> Archive | None:
    """What begins at `at`. Raises CutShort where the file ends within the first bytes of one."""
    head = content.peek(at, LONGEST_MAGIC)
    for archive in ARCHIVES:
        if head.startswith(archive.magic):
            return archive
    if any(archive.magic.startswith(head) for archive in ARCHIVES):
        raise content.cut_short()
    return None


def _is_file_system(content: Content) -> bool:
    return any(content.peek(at, len(magic)) == magic for at, magic in FILE_SYSTEMS)


def _aligned(size: int) -> int:
    return (size + 3) & ~3
