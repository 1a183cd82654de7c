# SPDX-License-Identifier: GPL-2.0-or-later
"""Purgatory's checksum: what runs between the kernels starts no image of which a covered segment has changed.

Source: kexec_calculate_store_digests() in kernel/kexec_file.c and update_purgatory() in kexec-tools: a list of
address and size of every covered segment, beside the digest over them.
"""

from kdumphpd.image.elf import ByteOrder
from kdumphpd.image.kimage import Segment

MAX_SIZE = 1 << 20  # bytes; purgatory has some 40 KiB with its stack


def covers(data: bytes, segment: Segment, byteorder: ByteOrder) -> bool:
    """Tell whether data, the content of purgatory or of anything else, lists a segment as covered."""
    return segment.mem.to_bytes(8, byteorder) + segment.memsz.to_bytes(8, byteorder) in data
