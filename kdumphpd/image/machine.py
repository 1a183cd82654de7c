# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine as it is now: what an image has to describe.

Source: /proc/iomem; Documentation/ABI/testing/sysfs-devices-{memory,system-cpu}; sysfs-kernel-kexec-kdump.
"""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kdumphpd.ids import IdSet
from kdumphpd.image.blocks import online_blocks
from kdumphpd.image.coherent import coherent_memory
from kdumphpd.image.errors import Cause, ParseError, UnreadableError
from kdumphpd.image.iomem import DeviceMemory, read_iomem
from kdumphpd.image.ranges import Range, Ranges, subtract, union
from kdumphpd.image.srat import MAX_SIZE, parse_srat
from kdumphpd.sysfs import block_size, read_attribute

CPUS = "sys/devices/system/cpu"
CMA = "sys/kernel/kexec/crash_cma_ranges"
ACPI_DEVICES = "sys/bus/acpi/devices"
MEMORY_DEVICE = "PNP0C80"  # ACPI Specification 6.5, 5.6.7
SRAT = "sys/firmware/acpi/tables/SRAT"
# A folder for each kind of device that this kernel's ACPI can hot-add (acpi_sysfs_add_hotplug_profile()).
ACPI_HOTPLUG = "sys/firmware/acpi/hotplug"


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
    Iomem. devices: RAM of devices, which is not in ram. offline: RAM that no online memory block covers (only as far
    as asked for, see read_machine()).
    block_size: the unit of memory hotplug; None where the kernel has none. memory_hotplug: see there.
    """

    ram: Ranges
    reserved: Ranges
    gart: Ranges
    offline: Ranges
    cpus: tuple[Cpu, ...]
    page_size: int
    block_size: int | None
    memory_hotplug: bool = False
    devices: tuple[DeviceMemory, ...] = ()


def read_machine(root: Path, described: Ranges = ()) -> Machine:
    """Read what /proc and /sys below root say.

    described: RAM whose state is of no interest, being in the image anyway. A large machine has 262,144
    memory blocks, each with a file for its state.
    Raises UnreadableError.
    """
    try:
        iomem = read_iomem(root)
        cma = parse_cma_ranges(read_attribute(root, CMA) or "")
        block = block_size(root)
        coherent = coherent_memory(root)
        ram = subtract(iomem.ram, (device.range for device in coherent))
        return Machine(
            ram=ram,
            reserved=union(iomem.crash_kernel, cma),
            gart=iomem.gart,
            offline=_offline(root, block, subtract(ram, described)) if block else (),
            memory_hotplug=memory_hotplug(root),
            cpus=_online_cpus(root),
            page_size=os.sysconf("SC_PAGE_SIZE"),
            block_size=block,
            devices=(*iomem.devices, *coherent),
        )
    except PermissionError as error:
        raise UnreadableError(Cause.NO_PERMISSION, f"{error.filename}: {error.strerror}") from error
    except OSError as error:
        raise UnreadableError(Cause.NO_SYSFS, f"{error.filename}: {error.strerror}") from error
    except ParseError as error:
        raise UnreadableError(Cause.UNKNOWN_FORMAT, str(error)) from error


def memory_hotplug(root: Path) -> bool:
    """Whether ACPI can hot-add memory here, or did so before the boot: a DIMM of a hypervisor's command line.

    A capture kernel finds the same devices, if it is as able to as this one. Other architectures tell their kernels
    of memory in other ways, which were measured not to have this fault (PowerPC), or of which nothing is known.
    """
    if (root / ACPI_HOTPLUG).is_dir() and not (root / ACPI_HOTPLUG / "memory").exists():
        return False  # built without ACPI_HOTPLUG_MEMORY, as Debian's for arm64
    with suppress(OSError), os.scandir(root / ACPI_DEVICES) as entries:  # no ACPI
        if any(entry.name.startswith(f"{MEMORY_DEVICE}:") for entry in entries):
            return True
    with suppress(OSError, ParseError), (root / SRAT).open("rb") as file:  # no such table
        return bool(parse_srat(file.read(MAX_SIZE)))
    return False


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
    return subtract(within, online_blocks(root, block, within))


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
