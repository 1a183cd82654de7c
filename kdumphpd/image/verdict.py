# SPDX-License-Identifier: GPL-2.0-or-later
"""Does the loaded image describe the machine? Pure: what was read goes in, the answer comes out."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from kdumphpd.ids import IdSet
from kdumphpd.image import cmdline, elf
from kdumphpd.image.errors import Cause
from kdumphpd.image.iomem import DeviceMemory
from kdumphpd.image.machine import Machine
from kdumphpd.image.ranges import Range, Ranges, format_size, intersect, overlaps, subtract, total, union
from kdumphpd.image.reader import Image

# On x86 the kernel leaves the first MiB out of the elfcorehdr (elf_header_exclude_ranges(), since 5.6) and
# kexec-tools puts it in, by way of a backup; PowerPC backs up the first 64 KiB. Whatever the choice, hotplug
# cannot touch this memory and another load would choose the same, so it has no part in the verdict.
FIRST_MIB = Range(0, (1 << 20) - 1)

MAX_NAMED = 8  # ranges spelled out in a sentence

NOTHING_TO_DESCRIBE = (
    "the capture kernel of this architecture builds the elfcorehdr itself, so no hotplug makes the image out of date"
)
UNSAFE = (
    "the capture kernel may bring hot-added memory online and overwrite what it is to dump: {} is missing from its "
    "command line"
)


class ImageState(StrEnum):
    """The answers."""

    CURRENT = "current"
    STALE = "stale"
    UNSAFE = "unsafe"  # it describes the machine, but its capture kernel may destroy what it is to dump
    UNREADABLE = "unreadable"
    NO_IMAGE = "no_image"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, and what it rests on.

    Of a stale image, missing: RAM that a dump would lack; gone: what the elfcorehdr has and the machine no
    longer; cpus_without_note: online CPUs whose registers a dump would lack; cpus_not_in_fdt: online CPUs on
    which a capture kernel could not boot; unreserved: bytes of the elfcorehdr that the capture kernel takes for free
    memory; backup_lost: the elfcorehdr no longer points to where the first memory is backed up; checksum_broken: an
    update of the kernel's has broken purgatory's checksum. unsafe: why the image is unsafe; a stale one may be so
    too. left_out: memory of devices that the image does not describe, which is no fault of it. Of an unreadable one,
    reason and detail; of one that is current whatever it holds, detail says why.
    """

    state: ImageState
    missing: Ranges = ()
    gone: Ranges = ()
    cpus_without_note: tuple[int, ...] = ()
    cpus_not_in_fdt: tuple[int, ...] = ()
    reason: Cause | None = None
    detail: str = ""
    unsafe: str = ""
    unreserved: int = 0
    backup_lost: bool = False
    checksum_broken: bool = False
    left_out: tuple[DeviceMemory, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON: a range is [start, end], both inclusive."""
        return asdict(self)

    def shares_a_fault(self, other: "Verdict") -> bool:
        """Whether both are stale, and something that is wrong with one is wrong with the other."""
        if not self.state is other.state is ImageState.STALE:
            return False
        return bool(
            any(overlaps(self.missing, r) for r in other.missing)
            or any(overlaps(self.gone, r) for r in other.gone)
            or set(self.cpus_without_note) & set(other.cpus_without_note)
            or set(self.cpus_not_in_fdt) & set(other.cpus_not_in_fdt)
            or (self.unreserved and other.unreserved)
            or (self.backup_lost and other.backup_lost)
            or (self.checksum_broken and other.checksum_broken)
        )

    def sentence(self) -> str:
        """Return it in words: "0x100000000-0x17fffffff (2 GiB) is missing from the elfcorehdr"."""
        match self.state:
            case ImageState.CURRENT:
                text = self.detail or "the loaded image describes the machine as it is now"
                return f"{text}; left out as memory of a device: {_devices(self.left_out)}" if self.left_out else text
            case ImageState.UNSAFE:
                return self.unsafe
            case ImageState.NO_IMAGE:
                return "no kdump image is loaded"
            case ImageState.UNREADABLE:
                return f"the loaded image cannot be read: {self.detail}"
        parts = []
        if self.missing:
            parts.append(f"{_name(self.missing)} missing from the elfcorehdr")
        if self.gone:
            parts.append(f"{_name(self.gone)} in the elfcorehdr but no longer in the machine")
        if self.cpus_without_note:
            parts.append(f"no note in the elfcorehdr for CPU {IdSet(self.cpus_without_note)}")
        if self.cpus_not_in_fdt:
            parts.append(f"CPU {IdSet(self.cpus_not_in_fdt)} not in the FDT")
        if self.unreserved:
            parts.append(f"{self.unreserved} bytes of the elfcorehdr not reserved in the FDT")
        if self.backup_lost:
            parts.append("the elfcorehdr does not point to the backup of the first memory")
        if self.checksum_broken:
            parts.append(
                "the kernel has updated an elfcorehdr that a checksum covers, so no capture kernel would start"
            )
        if self.unsafe:
            parts.append(self.unsafe)
        return "; ".join(parts)


def judge(image: Image, machine: Machine) -> Verdict:
    """Compare image with machine. Without an elfcorehdr it is ImageState.UNREADABLE, where one was to be expected."""
    if image.elfcorehdr is None and image.machine == elf.EM_S390:
        return Verdict(ImageState.CURRENT, detail=NOTHING_TO_DESCRIBE)
    if image.elfcorehdr is None:
        detail = "no segment of the image holds an elfcorehdr"
        return Verdict(ImageState.UNREADABLE, reason=Cause.NO_ELFCOREHDR, detail=detail)
    loads = image.elfcorehdr.loads
    reserved = union(image.reservation, machine.reserved)

    # Memory that is there but offline holds nothing to dump, and the kernel adds it when it comes online. A
    # byte or two at an edge may be lost to old kernels' arithmetic (crash_exclude_mem_range() was given the
    # first MiB with one byte too many), and firmware ends System RAM in mid-page (0x9fbff): no whole page.
    missing = _at_least(
        machine.page_size,
        subtract(machine.ram, loads, reserved, machine.gart, machine.offline, (FIRST_MIB,)),
    )
    # Memory goes by the block. What is smaller was never plugged: a firmware area that the loader lists
    # although it is not System RAM, RTAS and OPAL on PowerPC (get_crash_memory_ranges()).
    gone = _at_least(
        machine.block_size or machine.page_size,
        subtract(loads, machine.ram, reserved, (FIRST_MIB,), (device.range for device in machine.devices)),
    )
    # Only online CPUs have registers to save when the kernel crashes, and it can crash and boot on no others.
    notes = frozenset(image.elfcorehdr.notes)
    without_note = tuple(c.number for c in machine.cpus if c.note is not None and c.note not in notes)
    bootable = image.fdt.hw_ids if image.fdt else frozenset()
    not_in_fdt = tuple(c.number for c in machine.cpus if c.hw_id is not None and c.hw_id not in bootable)

    unreserved = _unreserved(image)
    backup_lost = _backup_is_lost(image, reserved)
    unsafe = _unsafe(image, machine)
    stale = missing or gone or without_note or not_in_fdt or unreserved or backup_lost or image.broken
    state = ImageState.STALE if stale else ImageState.UNSAFE if unsafe else ImageState.CURRENT
    return Verdict(
        state,
        missing,
        gone,
        without_note,
        not_in_fdt,
        unsafe=unsafe,
        unreserved=unreserved,
        backup_lost=backup_lost,
        checksum_broken=image.broken,
        left_out=tuple(device for device in machine.devices if subtract((device.range,), loads)),
    )


def _unreserved(image: Image) -> int:
    """Bytes of the elfcorehdr in use that the FDT does not reserve."""
    if image.elfcorehdr is None or image.elfcorehdr_segment is None or not image.unreserved:
        return 0
    used = Range(image.elfcorehdr_segment.mem, image.elfcorehdr_segment.mem + image.elfcorehdr.size - 1)
    return total(intersect((used,), image.unreserved))


def _backup_is_lost(image: Image, reserved: Ranges) -> bool:
    """PowerPC's loaders back up the first 64 KiB into the reservation, which the capture kernel itself runs in.

    Mainline 6.10 up to "powerpc/crash: Update backup region offset in elfcorehdr on memory hotplug" wrote 0 here.
    """
    if image.machine != elf.EM_PPC64 or image.elfcorehdr is None or image.elfcorehdr.backup is None:
        return False
    return not overlaps(reserved, Range(image.elfcorehdr.backup, image.elfcorehdr.backup))


def _unsafe(image: Image, machine: Machine) -> str:
    if not machine.memory_hotplug or image.command_line is None:
        return ""
    lacking = cmdline.missing(image.command_line)
    return UNSAFE.format(lacking) if lacking else ""


def _devices(memory: tuple[DeviceMemory, ...]) -> str:
    texts = [f"{device.name}, {device.range}" for device in memory[:MAX_NAMED]]
    more = [f"{len(memory) - MAX_NAMED} more"] if len(memory) > MAX_NAMED else []
    return "; ".join((*texts, *more))


def _at_least(size: int, ranges: Iterable[Range]) -> Ranges:
    return tuple(r for r in ranges if r.size >= size)


def _name(ranges: Ranges) -> str:
    """Return "0x0-0xfff (4 KiB) is" or "a, b and 5 more ranges (10 GiB) are"."""
    if len(ranges) == 1:
        return f"{ranges[0]} is"
    named, rest = ranges[:MAX_NAMED], ranges[MAX_NAMED:]
    texts = [str(r) for r in named]
    if rest:
        texts.append(f"{len(rest)} more ranges ({format_size(total(rest))})")
    return f"{', '.join(texts[:-1])} and {texts[-1]} are"
