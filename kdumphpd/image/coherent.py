# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory of accelerators that PowerPC's firmware lists as the machine's, and that loaders leave out.

Source: is_coherent_device_mem() in kexec-tools; Devicetree Specification 0.4, 2.3.6.
"""

import struct
from contextlib import suppress
from pathlib import Path

from kdumphpd.image.iomem import DeviceMemory
from kdumphpd.image.ranges import Range

DEVICE_TREE = "proc/device-tree"
COMPATIBLE = "ibm,coherent-device-memory"
MAX_PROPERTY = 4096  # bytes; a node of memory has one pair of address and size


def coherent_memory(root: Path) -> tuple[DeviceMemory, ...]:
    """Return what /proc/device-tree below root says; nothing where there is no tree."""
    found = []
    for node in sorted((root / DEVICE_TREE).glob("memory@*")):
        with suppress(OSError):  # it has gone meanwhile
            if COMPATIBLE.encode() not in (node / "compatible").read_bytes()[:MAX_PROPERTY].split(b"\0"):
                continue
            reg = (node / "reg").read_bytes()[:MAX_PROPERTY]
            for start, size in struct.iter_unpack(">QQ", reg[: len(reg) & ~15]):
                if size and start + size <= 1 << 64:
                    found.append(DeviceMemory(COMPATIBLE, Range(start, start + size - 1)))
    return tuple(found)
