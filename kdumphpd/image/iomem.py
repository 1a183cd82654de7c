# SPDX-License-Identifier: GPL-2.0-or-later
"""What memory the machine has, by /proc/iomem.

Source: kernel/resource.c; the names are those that kexec-tools goes by as well.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kdumphpd.image.errors import Cause, ParseError, UnreadableError
from kdumphpd.image.ranges import Range, Ranges, union

LINE = re.compile(r" *([0-9a-f]{1,16})-([0-9a-f]{1,16}) : (.*)")

# Memory that a driver has added is a part of the dump like any other where it is one of these; walk_system_ram_res()
# finds it, and kexec-tools on x86 since 2.0.22. What other drivers add is memory of their device, such as a GPU's,
# which some loaders leave out and which nobody can read once the device is gone.
RAM = ("System RAM", "System RAM (kmem)", "System RAM (virtio_mem)")
OF_A_DRIVER = re.compile(r"System RAM \(.*\)", re.DOTALL)


class DeviceMemory(NamedTuple):
    """RAM that is a device's: the name that it goes by, and where it is."""

    name: str
    range: Range


@dataclass(frozen=True, slots=True)
class Iomem:
    """Physical ranges by use, each set sorted and disjoint, wherever in the tree of resources they stand.

    crash_kernel: the reservation, as far as it is listed (never on PowerPC).
    gart: memory that an aperture hides on some x86 machines; kexec-tools leaves it out of the elfcorehdr.
    devices: RAM that drivers of devices have added, which is not in ram.
    """

    ram: Ranges
    crash_kernel: Ranges
    gart: Ranges
    devices: tuple[DeviceMemory, ...] = ()


def parse_iomem(text: str) -> Iomem:
    """Return what /proc/iomem says.

    Raises ParseError, and UnreadableError where every address is zero as it is without CAP_SYS_ADMIN.
    """
    found: list[tuple[Range, str]] = []
    # Not splitlines(): a name is what a driver or the firmware made of it, and may hold any byte but this one.
    for line in filter(None, text.split("\n")):
        if not (match := LINE.fullmatch(line)):
            raise ParseError(f"/proc/iomem: {line[:80]!r} is not a range")
        start, end = int(match[1], 16), int(match[2], 16)
        if end < start:
            raise ParseError(f"/proc/iomem: {line[:80]!r} ends before it begins")
        found.append((Range(start, end), match[3]))
    if not any(end for (_, end), _ in found):
        raise UnreadableError(Cause.NO_PERMISSION, "/proc/iomem shows no addresses; it takes root with CAP_SYS_ADMIN")
    return Iomem(
        ram=union(r for r, name in found if name in RAM),
        crash_kernel=union(r for r, name in found if name == "Crash kernel"),
        gart=union(r for r, name in found if name == "GART"),
        devices=tuple(DeviceMemory(name, r) for r, name in found if name not in RAM and OF_A_DRIVER.fullmatch(name)),
    )


def read_iomem(root: Path) -> Iomem:
    """Return what /proc/iomem below root says. Raises OSError, and what parse_iomem() does."""
    # As bytes, for a text file's lines would end at "\r" too.
    return parse_iomem((root / "proc/iomem").read_bytes().decode("ascii", "replace"))
