# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the loaded image from kernel memory, while the kernel may be replacing or updating it."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kdumphpd.image import elf, fdt
from kdumphpd.image.btf import extract
from kdumphpd.image.elfcorehdr import ElfCoreHdr, parse_elfcorehdr
from kdumphpd.image.errors import ChangedError, ParseError, Reason, UnreadableError
from kdumphpd.image.fdt import Fdt, parse_fdt
from kdumphpd.image.kcore import Kcore, open_kcore
from kdumphpd.image.kimage import KImage, Segment, parse_kimage
from kdumphpd.image.layout import CMA_COUNT, CMA_RANGES, IMAGE, RESERVATIONS, Layout, kernel_layout
from kdumphpd.image.ranges import Range, Ranges, subtract, union
from kdumphpd.kernel.loaded import image_loaded

# An update takes the image away for as long as it takes to copy an elfcorehdr or to write an FDT, some
# milliseconds at worst; half a second leaves room for a slow virtual machine.
ATTEMPTS = 6
PAUSE = 0.1  # seconds

MAX_RESERVATIONS = 64  # CRASHKERNEL_CMA_RANGES_MAX is 4


@dataclass(frozen=True, slots=True)
class Image:
    """A loaded kdump image, as it was at one moment.

    elfcorehdr: None where no segment holds one, as on architectures that build it in the capture kernel.
    fdt: None where no segment holds one, as on x86.
    reservation: the physical memory set aside for the capture kernel, by crashk_res and its kind.
    """

    kimage: KImage
    elfcorehdr: ElfCoreHdr | None
    fdt: Fdt | None
    reservation: Ranges

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON: addresses and sizes are integers, a range is [start, end] inclusive."""
        content = asdict(self)
        content["kimage"]["updatable"] = self.kimage.updatable
        if self.fdt:
            content["fdt"]["room"] = self.fdt.room
        return content


class _Look(NamedTuple):
    """All that was read in one pass; two that are equal saw an image that stood still."""

    pointer: int
    kimage: KImage
    elfcorehdr: bytes | None
    fdt: bytes | None
    reservation: Ranges


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
    try:
        if not image_loaded(root, sleep):
            return None
    except OSError as error:
        raise UnreadableError(Reason.NO_SYSFS, f"whether an image is loaded: {error}") from error
    layout = kernel_layout(root, cache)
    failure: UnreadableError | None = None
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(PAUSE)
        try:
            with open_kcore(root) as memory:
                first = _look(memory, layout)
                second = _look(memory, layout)
            if first and first == second:
                return _image(first)
            moved = UnreadableError(Reason.INCONSISTENT, "the image changed while it was being read")
            failure = moved if first or second else None
        except ChangedError as error:
            failure = UnreadableError(Reason.INCONSISTENT, str(error))
        except ParseError as error:
            failure = UnreadableError(Reason.UNKNOWN_FORMAT, str(error))
    if failure:
        raise failure
    return None


def _look(memory: Kcore, layout: Layout) -> _Look | None:
    """Read the image once; None where there is none at this instant. Raises ChangedError and ParseError."""
    byteorder, structs = memory.header.byteorder, layout.structs
    pointer = int.from_bytes(memory.read_virtual(layout.symbols[IMAGE], 8), byteorder)
    if not pointer:
        return None
    kimage = parse_kimage(memory.read_virtual(pointer, structs["kimage"].size), structs, byteorder)
    reservation = _reservation(memory, layout)
    # sanity_check_segment_list() refuses segments outside of the reservation; memory that has been freed and
    # used for something else would not pass it.
    if subtract((s.range for s in kimage.segments), reservation):
        raise ChangedError("a segment lies outside of the memory reserved for it")
    elfcorehdr = tree = None
    for segment in kimage.segments:
        head = memory.read_physical(segment.mem, min(segment.memsz, elf.EHDR_SIZE))
        # As the kernel does: by content, the first that matches (crash_handle_hotplug_event();
        # get_fdt_index() on PowerPC). elfcorehdr_index is not set before the first event.
        if head.startswith(elf.ELFMAG) and elfcorehdr is None:
            elfcorehdr = _read_elfcorehdr(memory, segment, head)
        elif head.startswith(fdt.MAGIC.to_bytes(4, "big")) and tree is None:
            tree = memory.read_physical(segment.mem, min(segment.memsz, fdt.total_size(head)))
    return _Look(pointer, kimage, elfcorehdr, tree, reservation)


def _read_elfcorehdr(memory: Kcore, segment: Segment, head: bytes) -> bytes:
    header = elf.parse_header(head)
    size = header.phoff + header.phnum * elf.PHDR_SIZE
    if size > segment.memsz:
        raise ParseError(f"{size} bytes of elfcorehdr do not fit in a segment of {segment.memsz}")
    return memory.read_physical(segment.mem, size)


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


def _image(look: _Look) -> Image:
    return Image(
        look.kimage,
        parse_elfcorehdr(look.elfcorehdr) if look.elfcorehdr is not None else None,
        parse_fdt(look.fdt) if look.fdt is not None else None,
        look.reservation,
    )
