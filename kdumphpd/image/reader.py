# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the loaded image from kernel memory, while the kernel may be replacing or updating it."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kdumphpd.image import cmdline, elf, fdt, purgatory
from kdumphpd.image.btf import extract
from kdumphpd.image.elfcorehdr import ElfCoreHdr, parse_elfcorehdr
from kdumphpd.image.errors import Cause, ChangedError, ParseError, UnreadableError
from kdumphpd.image.fdt import Fdt, parse_fdt
from kdumphpd.image.identity import identity
from kdumphpd.image.kcore import Kcore, open_kcore
from kdumphpd.image.kimage import KImage, Segment, parse_kimage
from kdumphpd.image.layout import CMA_COUNT, CMA_RANGES, IMAGE, RESERVATIONS, Layout, kernel_layout
from kdumphpd.image.ranges import Range, Ranges, overlaps, subtract, union
from kdumphpd.kernel import fadump
from kdumphpd.kernel.loaded import image_loaded

# An update takes the image away for as long as it takes to copy an elfcorehdr or to write an FDT, some
# milliseconds at worst; half a second leaves room for a slow virtual machine.
ATTEMPTS = 6
PAUSE = 0.1  # seconds

MAX_RESERVATIONS = 64  # CRASHKERNEL_CMA_RANGES_MAX is 4
MAX_BOOT_PARAMS = 1 << 16  # bytes; kexec-tools loads some 20 KiB, the kernel some 6


@dataclass(frozen=True, slots=True)
class Image:
    """A loaded kdump image, as it was at one moment.

    elfcorehdr: None where no segment holds one, as on architectures that build it in the capture kernel.
    fdt: None where no segment holds one, as on x86. reservation: the physical memory set aside for the capture
    kernel, by crashk_res and its kind. machine: e_machine of the kernel's own ELF. command_line: the capture
    kernel's, None where it is not found. identity: see identity.py. elfcorehdr_segment: where the elfcorehdr lies.
    checksummed: purgatory's checksum covers it (purgatory.py).
    """

    kimage: KImage
    elfcorehdr: ElfCoreHdr | None
    fdt: Fdt | None
    reservation: Ranges
    machine: int = 0
    command_line: str | None = None
    identity: str = ""
    elfcorehdr_segment: Segment | None = None
    checksummed: bool = False

    @property
    def unreserved(self) -> Ranges:
        """What the FDT's memory reservation map leaves free of the elfcorehdr's segment.

        kexec-tools 2.0.29 to 2.0.32 reserve on PowerPC what was loaded of it (bufsz) and not what the kernel may fill
        later (memsz): the capture kernel takes the rest for free memory. A map without any part of the segment holds
        the firmware's entries: the capture kernel then learns of the segment otherwise (linux,elfcorehdr in /chosen
        on arm64).
        """
        if self.fdt is None or self.elfcorehdr_segment is None:
            return ()
        if not overlaps(self.fdt.reserved, self.elfcorehdr_segment.range):
            return ()
        return subtract((self.elfcorehdr_segment.range,), self.fdt.reserved)

    @property
    def updatable(self) -> bool:
        """Whether the kernel updates this image, and the capture kernel starts and finds what was updated."""
        return self.kimage.updatable and not self.unreserved and not self.checksummed

    @property
    def broken(self) -> bool:
        """Whether an update has broken purgatory's checksum, so that no capture kernel starts."""
        return self.checksummed and self.kimage.elfcorehdr_updated

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON: addresses and sizes are integers, a range is [start, end] inclusive."""
        content = asdict(self)
        content["updatable"] = self.updatable
        content["kimage"]["updatable"] = self.kimage.updatable
        if self.fdt:
            content["fdt"]["room"] = self.fdt.room
        return content


def inspect(
    root: Path = Path("/"),
    cache: Path | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Image | None:
    """Return the loaded image, None where none is loaded.

    root: where /proc and /sys are. cache: a file for what holds until the next boot (see kernel_layout()).
    Everything is read twice, until both are equal, so that a load or an update under way is not taken for
    an image. Raises UnreadableError; at the latest after ATTEMPTS.
    """
    if not _is_loaded(root, sleep):
        return None
    layout = kernel_layout(root, cache)
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(PAUSE)
        try:
            image = _read_twice(root, layout)
        except ChangedError as error:
            failure = UnreadableError(Cause.INCONSISTENT, str(error))
        except ParseError as error:
            failure = UnreadableError(Cause.UNKNOWN_FORMAT, str(error))
        else:
            if image:
                return image
            failure = UnreadableError(
                Cause.CONTRADICTION, f"crash_loaded says that an image is loaded, and {IMAGE} is null"
            )
    if failure.reason is Cause.CONTRADICTION and not _is_loaded(root, sleep):
        return None  # it was unloaded meanwhile
    raise failure


def _is_loaded(root: Path, sleep: Callable[[float], None]) -> bool:
    """Whether there is an image; where fadump is enabled there is none. Raises UnreadableError."""
    try:
        return not fadump.is_enabled(root) and image_loaded(root, sleep)
    except OSError as error:
        raise UnreadableError(Cause.NO_SYSFS, f"whether an image is loaded: {error}") from error


def _read_twice(root: Path, layout: Layout) -> Image | None:
    """Return what both of two snapshots saw. Raises ChangedError where they differ, and what snapshot() does."""
    with open_kcore(root) as memory:
        first = snapshot(memory, layout)
        second = snapshot(memory, layout)
    if first != second:
        raise ChangedError("the image changed while it was being read")
    return first


def snapshot(memory: Kcore, layout: Layout) -> Image | None:
    """Read the image once; None where there is none at this instant.

    Raises ChangedError and ParseError, and UnreadableError where the kernel hides what it has loaded.
    """
    byteorder, structs = memory.header.byteorder, layout.structs
    pointer = int.from_bytes(memory.read_virtual(layout.symbols[IMAGE], 8), byteorder)
    if not pointer:
        return None
    data = memory.read_virtual(pointer, structs["kimage"].size)
    kimage = parse_kimage(data, structs, byteorder)
    reservation = _reservation(memory, layout)
    # sanity_check_segment_list() refuses segments outside of the reservation; memory that has been freed and
    # used for something else would not pass it.
    if subtract((s.range for s in kimage.segments), reservation):
        raise ChangedError("a segment lies outside of the memory reserved for it")
    heads = [memory.read_physical(s.mem, min(s.memsz, elf.EHDR_SIZE)) for s in kimage.segments]
    # Older s390x kernels hide them as well (vmem_remove_mapping()), and there they do not matter: see judge().
    if memory.header.machine != elf.EM_S390 and not any(any(head) for head in heads):
        raise UnreadableError(
            Cause.HIDDEN,
            "the kernel hides the loaded image: its segments read as zeros (arm64 before 6.4 unmaps them)",
        )
    found = _contents(memory, kimage.segments, heads)
    chosen = found.fdt.chosen.encode() if found.fdt else None
    of_a_load = [part for part in (found.boot_params, chosen) if part is not None]
    return Image(
        kimage,
        found.elfcorehdr,
        found.fdt,
        reservation,
        memory.header.machine,
        found.command_line,
        identity(pointer, data, structs["kimage"], byteorder, *of_a_load),
        found.elfcorehdr_segment,
        _is_checksummed(memory, kimage, found.elfcorehdr_segment),
    )


@dataclass(slots=True)
class _Contents:
    elfcorehdr: ElfCoreHdr | None = None
    elfcorehdr_segment: Segment | None = None
    fdt: Fdt | None = None
    command_line: str | None = None
    boot_params: bytes | None = None  # of x86


def _contents(memory: Kcore, segments: tuple[Segment, ...], heads: list[bytes]) -> _Contents:
    # As the kernel does: by content, the first that matches (crash_handle_hotplug_event(); get_fdt_index() on
    # PowerPC). elfcorehdr_index is not set before the first event.
    found = _Contents()
    for segment, head in zip(segments, heads, strict=True):
        if found.elfcorehdr is None and (header := _core_header(head)):
            found.elfcorehdr, found.elfcorehdr_segment = _read_elfcorehdr(memory, segment, header), segment
        elif found.fdt is None and head.startswith(fdt.MAGIC):
            found.fdt = parse_fdt(memory.read_physical(segment.mem, min(segment.memsz, fdt.total_size(head))))
            found.command_line = found.fdt.bootargs
        elif found.boot_params is None and (params := _boot_params(memory, segment)):
            found.boot_params = params
            found.command_line = _x86_command_line(memory, segments, params)
    return found


def _core_header(head: bytes) -> elf.Header | None:
    with suppress(ParseError):  # the capture kernel may be an ELF file as well, but no core file
        return elf.parse_header(head)
    return None


def _is_checksummed(memory: Kcore, kimage: KImage, elfcorehdr: Segment | None) -> bool:
    """Whether any of the small segments, of which one is purgatory, lists the elfcorehdr as covered."""
    # Only what the kernel updates can break it.
    if elfcorehdr is None or not kimage.updatable:
        return False
    for segment in kimage.segments:
        if segment.memsz <= purgatory.MAX_SIZE and segment != elfcorehdr:
            with suppress(ChangedError):  # then that is not known
                data = memory.read_physical(segment.mem, segment.memsz)
                if purgatory.covers(data, elfcorehdr, memory.header.byteorder):
                    return True
    return False


def _boot_params(memory: Kcore, segment: Segment) -> bytes | None:
    with suppress(ChangedError):  # then the command line is not known
        data = memory.read_physical(segment.mem, min(segment.memsz, cmdline.MIN_BOOT_PARAMS))
        if data[cmdline.MAGIC_AT : cmdline.MAGIC_AT + 4] == cmdline.MAGIC:
            # All of it, for the identity: the random seed of kexec_file_load lies behind them.
            return memory.read_physical(segment.mem, min(segment.memsz, MAX_BOOT_PARAMS))
    return None


def _x86_command_line(memory: Kcore, segments: tuple[Segment, ...], boot_params: bytes) -> str | None:
    with suppress(ParseError, ChangedError):
        at = cmdline.pointer(boot_params)
        for segment in segments:
            if segment.range.start <= at <= segment.range.end:
                size = min(segment.range.end + 1 - at, cmdline.MAX_SIZE)
                return cmdline.decode(memory.read_physical(at, size))
    return None


def _read_elfcorehdr(memory: Kcore, segment: Segment, header: elf.Header) -> ElfCoreHdr:
    size = header.phoff + header.phnum * elf.PHDR_SIZE
    if size > segment.memsz:
        raise ChangedError(f"{size} bytes of elfcorehdr do not fit in a segment of {segment.memsz}")
    return parse_elfcorehdr(memory.read_physical(segment.mem, size))


def _reservation(memory: Kcore, layout: Layout) -> Ranges:
    addresses = [(layout.symbols[name], 1, "resource") for name in RESERVATIONS if name in layout.symbols]
    if CMA_COUNT in layout.symbols and CMA_RANGES in layout.symbols:
        count = int.from_bytes(memory.read_virtual(layout.symbols[CMA_COUNT], 4), memory.header.byteorder)
        if count > MAX_RESERVATIONS:
            raise ChangedError(f"{count} CMA reservations are more than the kernel keeps")
        addresses.append((layout.symbols[CMA_RANGES], count, "range"))
    ranges = []
    for address, count, name in addresses:
        layout_of = layout.structs[name]
        for i in range(count):
            data = memory.read_virtual(address + i * layout_of.size, layout_of.size)
            start, end = (extract(data, memory.header.byteorder, layout_of.fields[f]) for f in ("start", "end"))
            if start < end:  # both are 0 where nothing is reserved
                ranges.append(Range(start, end))
    return union(ranges)
