# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine as it is now: what an image has to describe.

Source: /proc/iomem; Documentation/ABI/testing/sysfs-devices-{memory,system-cpu}; sysfs-kernel-kexec-kdump.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from kdumphpd.ids import IdSet
from kdumphpd.image.errors import ParseError, Reason, UnreadableError
from kdumphpd.image.iomem import parse_iomem
from kdumphpd.image.ranges import Range, Ranges, overlaps, subtract, union
from kdumphpd.kernel.files import read_attribute
from kdumphpd.kernel.memory import block_size

CPUS = "sys/devices/system/cpu"
BLOCKS = "sys/devices/system/memory"
CMA = "sys/kernel/kexec/crash_cma_ranges"


@dataclass(frozen=True, slots=True)
class Cpu:
    """An online CPU.

    number: the kernel's. note: physical address of its crash note. hw_id: the firmware's id of this thread,
    which the FDT goes by; None where the architecture does not tell (only PowerPC does).
    """

    number: int
    note: int | None
    hw_id: int | None


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is now. Address ranges are physical, sizes in bytes.

    ram: System RAM. reserved: what is set aside for the capture kernel as the machine lists it. gart: see
    Iomem. offline: memory blocks that are there but not in use (only those asked for, see read_machine()).
    block_size: the unit of memory hotplug; None where the kernel has none.
    """

    ram: Ranges
    reserved: Ranges
    gart: Ranges
    offline: Ranges
    cpus: tuple[Cpu, ...]
    page_size: int
    block_size: int | None


def read_machine(root: Path, described: Ranges = ()) -> Machine:
    """Read what /proc and /sys below root say.

    described: RAM whose state is of no interest, being in the image anyway. A large machine has 262,144
    memory blocks, each with a file for its state.
    Raises UnreadableError.
    """
    try:
        iomem = parse_iomem((root / "proc/iomem").read_text("ascii", "replace"))
        cma = parse_cma_ranges(read_attribute(root, CMA) or "")
        block = block_size(root)
        return Machine(
            ram=iomem.ram,
            reserved=union(iomem.crash_kernel, cma),
            gart=iomem.gart,
            offline=_offline(root, block, subtract(iomem.ram, described)) if block else (),
            cpus=_online_cpus(root),
            page_size=os.sysconf("SC_PAGE_SIZE"),
            block_size=block,
        )
    except PermissionError as error:
        raise UnreadableError(Reason.NO_PERMISSION, f"{error.filename}: {error.strerror}") from error
    except OSError as error:
        raise UnreadableError(Reason.NO_SYSFS, f"{error.filename}: {error.strerror}") from error
    except ParseError as error:
        raise UnreadableError(Reason.UNKNOWN_FORMAT, str(error)) from error


def parse_cma_ranges(text: str) -> Ranges:
    """Return the ranges of crash_cma_ranges, "start-end" in hexadecimal, one a line. Raises ParseError."""
    ranges = []
    for line in text.splitlines():
        match = re.fullmatch(r"([0-9a-f]{1,16})-([0-9a-f]{1,16})", line)
        if not match or int(match[2], 16) < int(match[1], 16):
            raise ParseError(f"crash_cma_ranges: {line[:80]!r} is not a range")
        ranges.append(Range(int(match[1], 16), int(match[2], 16)))
    return union(ranges)


def _offline(root: Path, block: int, within: Ranges) -> Ranges:
    if not within:
        return ()
    blocks = []
    # Along the blocks that exist, not along the addresses: there is no telling how far apart those are.
    for entry in os.scandir(root / BLOCKS):
        number = entry.name.removeprefix("memory")
        if number != entry.name and number.isdecimal():
            extent = Range(int(number) * block, (int(number) + 1) * block - 1)
            if overlaps(within, extent) and read_attribute(root, f"{BLOCKS}/{entry.name}/state") == "offline":
                blocks.append(extent)
    return union(blocks)


def _online_cpus(root: Path) -> tuple[Cpu, ...]:
    try:
        online = IdSet.parse(read_attribute(root, f"{CPUS}/online") or "")
    except ValueError as error:
        raise ParseError(f"{CPUS}/online: {error}") from error
    # A CPU that goes away meanwhile has no files any more, and no event of its own is needed to see it.
    return tuple(
        Cpu(
            n,
            _number(root, f"{CPUS}/cpu{n}/crash_notes", 16),
            _number(root, f"{CPUS}/cpu{n}/physical_id", 10),
        )
        for n in online
    )


def _number(root: Path, path: str, base: int) -> int | None:
    text = read_attribute(root, path)
    try:
        return None if text is None else int(text, base)
    except ValueError as error:
        raise ParseError(f"/{path} holds {text!r}, not a number") from error
