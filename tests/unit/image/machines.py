# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine of 2 GiB with two CPUs, and an image that describes it."""

from dataclasses import replace

from kdumphpd.image.elfcorehdr import ElfCoreHdr
from kdumphpd.image.kimage import KImage, Segment
from kdumphpd.image.machine import Cpu, Machine
from kdumphpd.image.ranges import Range, Ranges
from kdumphpd.image.reader import Image

MIB, GIB = 1 << 20, 1 << 30
RESERVED = Range(0x1000_0000, 0x1FFF_FFFF)
LOW = (Range(0x1000, 0x9FBFF), Range(MIB, 2 * GIB - 1))
DIMM = Range(4 * GIB, 5 * GIB - 1)

MACHINE = Machine(
    ram=LOW,
    reserved=(RESERVED,),
    gart=(),
    offline=(),
    cpus=(Cpu(0, 0x3000, None), Cpu(1, 0x3200, None)),
    page_size=4096,
    block_size=128 * MIB,
)
LOADS = (Range(MIB, RESERVED.start - 1), Range(RESERVED.end + 1, 2 * GIB - 1))
IMAGE = Image(
    KImage(True, {"hotplug_support": False}, (Segment(RESERVED.start, MIB, 4096),)),
    ElfCoreHdr((0x3000, 0x3200, 0x9000), LOADS),
    None,
    (RESERVED,),
)


def with_loads(*loads: Range) -> Image:
    return replace(IMAGE, elfcorehdr=ElfCoreHdr((0x3000, 0x3200, 0x9000), loads))


def with_ram(*ram: Range, offline: Ranges = ()) -> Machine:
    return replace(MACHINE, ram=ram, offline=offline)
