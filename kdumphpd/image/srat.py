# SPDX-License-Identifier: GPL-2.0-or-later
"""The ACPI System Resource Affinity Table: memory that the firmware says can be added while the machine runs.

Source: ACPI Specification 6.5, sections 5.2.6 and 5.2.16; include/acpi/actbl3.h.
"""

import struct

from kdumphpd.image.errors import ParseError
from kdumphpd.image.ranges import Range, Ranges, union

HEADER_SIZE = 48  # struct acpi_table_srat: the common header of 36 bytes, and 12 that are reserved

MEMORY_AFFINITY, MEMORY_AFFINITY_SIZE = 1, 40
ENABLED, HOT_PLUGGABLE = 1 << 0, 1 << 1

# Bytes; an entry has at most 40, and 24 a CPU. A machine of 8,192 CPUs and 4,096 ranges has a third of this.
MAX_SIZE = 1 << 20


def parse_srat(data: bytes) -> Ranges:
    """Return the physical ranges that are enabled and hot-pluggable. Raises ParseError."""
    if len(data) < HEADER_SIZE or data[:4] != b"SRAT":
        raise ParseError("not an SRAT")
    (length,) = struct.unpack_from("<I", data, 4)
    if not HEADER_SIZE <= length <= min(len(data), MAX_SIZE):
        raise ParseError(f"an SRAT of {length} bytes in {len(data)}")
    ranges = []
    at = HEADER_SIZE
    while at < length:
        if at + 2 > length:
            raise ParseError("the SRAT ends within an entry")
        kind, size = data[at], data[at + 1]
        if size < 2 or at + size > length or (kind == MEMORY_AFFINITY and size < MEMORY_AFFINITY_SIZE):
            raise ParseError(f"an SRAT entry of type {kind} and {size} bytes")
        if kind == MEMORY_AFFINITY:
            base, extent = struct.unpack_from("<QQ", data, at + 8)
            (flags,) = struct.unpack_from("<I", data, at + 28)
            if flags & ENABLED and flags & HOT_PLUGGABLE and extent:
                if base + extent > 1 << 64:
                    raise ParseError(f"an SRAT range of {extent:#x} bytes at {base:#x} leaves the address space")
                ranges.append(Range(base, base + extent - 1))
        at += size
    return union(ranges)
