# SPDX-License-Identifier: GPL-2.0-or-later
"""The size of a memory block, to say "2 GiB" instead of "16 blocks"."""

from pathlib import Path

from kdumphpd.kernel.files import read_attribute


def block_size(root: Path) -> int | None:
    """Bytes of one memory block (an LMB on PowerVM); None where the kernel has no memory hotplug or hides it.

    Source: Documentation/admin-guide/mm/memory-hotplug.rst; the attribute is hexadecimal without a prefix.
    """
    try:
        text = read_attribute(root, "sys/devices/system/memory/block_size_bytes")
        return int(text, 16) if text else None
    except (OSError, ValueError):
        return None  # only a sentence is less exact
