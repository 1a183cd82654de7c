# SPDX-License-Identifier: GPL-2.0-or-later
"""struct kimage: how the image was loaded, where its segments are.

Source: include/linux/kexec.h.
"""

from dataclasses import dataclass

from kdumphpd.image.btf import Field, Struct, extract
from kdumphpd.image.elf import ByteOrder
from kdumphpd.image.errors import ParseError
from kdumphpd.image.ranges import Range
from kdumphpd.kernel.crash_hotplug import mainline_rule, powerpc_series_rule

KEXEC_TYPE_CRASH = 1
HOTPLUG_BITS = ("hotplug_support", "update_elfcorehdr", "update_fdt")


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the image: memsz bytes from physical address mem, of which the first bufsz were loaded."""

    mem: int
    memsz: int
    bufsz: int

    @property
    def range(self) -> Range:
        """The physical addresses it occupies."""
        return Range(self.mem, self.mem + self.memsz - 1)


@dataclass(frozen=True, slots=True)
class KImage:
    """A loaded crash image as the kernel remembers it.

    file_mode: loaded with kexec_file_load(2), not kexec_load(2).
    hotplug_bits: the bits by which this kernel remembers that it may update an image of kexec_load; which
    there are depends on the kernel, none where it never updates.
    elfcorehdr_updated: the kernel has updated the elfcorehdr since the load.
    crypt_keys: whether it carries keys of an encrypted dump target; None where the kernel knows of none.
    """

    file_mode: bool
    hotplug_bits: dict[str, bool]
    segments: tuple[Segment, ...]
    crypt_keys: bool | None = None
    elfcorehdr_updated: bool = False

    @property
    def updatable(self) -> bool:
        """Whether the kernel is to keep this image up to date: arch_crash_hotplug_support(). But see Image."""
        bits = self.hotplug_bits
        if not bits:
            return False
        if "hotplug_support" in bits:
            return mainline_rule(file_mode=self.file_mode, hotplug_support=bits["hotplug_support"])
        # A permission that this kernel does not know is one that it does not ask for.
        return powerpc_series_rule(
            file_mode=self.file_mode,
            update_elfcorehdr=bits.get("update_elfcorehdr", True),
            update_fdt=bits.get("update_fdt", True),
        )


def parse_kimage(data: bytes, structs: dict[str, Struct], byteorder: ByteOrder) -> KImage:
    """Return the image that data, the bytes of its struct kimage, describes.

    structs: the layouts of kimage and kexec_segment (layout.py).
    Raises ParseError where it can't be a crash image.
    """
    fields = structs["kimage"].fields
    flags = {
        name: bool(extract(data, byteorder, fields[name])) for name in (*HOTPLUG_BITS, "file_mode") if name in fields
    }
    kind = extract(data, byteorder, fields["type"])
    count = extract(data, byteorder, fields["nr_segments"])
    array = fields["segment"]
    if kind != KEXEC_TYPE_CRASH or not 0 < count <= array.elements:
        raise ParseError(f"an image of type {kind} with {count} segments is not a loaded crash image")
    element = structs["kexec_segment"].fields

    def member(index: int, name: str) -> int:
        offset = array.offset + array.bits // array.elements * index
        return extract(data, byteorder, Field(offset + element[name].offset, element[name].bits))

    segments = tuple(Segment(member(i, "mem"), member(i, "memsz"), member(i, "bufsz")) for i in range(count))
    for segment in segments:
        # sanity_check_segment_list() in kernel/kexec_core.c
        if segment.bufsz > segment.memsz or not segment.memsz:
            raise ParseError(f"a segment of {segment.bufsz} bytes in {segment.memsz} is not one that can be loaded")
    keys = fields.get("dm_crypt_keys_addr")
    crypt_keys = bool(extract(data, byteorder, keys)) if keys else None
    updated = fields.get("elfcorehdr_updated")
    return KImage(
        flags.pop("file_mode", False),
        flags,
        segments,
        crypt_keys,
        bool(updated and extract(data, byteorder, updated)),
    )
