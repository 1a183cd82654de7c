# SPDX-License-Identifier: GPL-2.0-or-later
"""What an observation says of the kernel's own updates."""

from dataclasses import replace

from kdumphpd.helper.observe import Observation
from kdumphpd.image.fdt import Fdt
from kdumphpd.image.kimage import Segment
from kdumphpd.image.ranges import Range
from kdumphpd.image.reader import Image
from kdumphpd.image.verdict import ImageState, Verdict
from kdumphpd.kernel.crash_hotplug import Answer, Capability
from tests.unit.image.machines import IMAGE, MIB, RESERVED


def updatable(image: Image) -> bool:
    capability = Capability(loaded=True, cpu=Answer.YES, memory=Answer.YES)
    return Observation(Verdict(ImageState.CURRENT), capability, None, image).updatable


def test_an_image_that_an_update_would_break_is_not_updatable() -> None:
    assert updatable(IMAGE)
    assert not updatable(replace(IMAGE, checksummed=True))


def test_an_image_is_updatable_as_long_as_its_elfcorehdr_is_within_what_is_reserved() -> None:
    """A reload leaves the same reservation, and on PowerPC loses memory that was added since the boot."""
    segment = Segment(RESERVED.start, MIB, 1024)
    tree = Fdt(100, 0, (), reserved=(Range(RESERVED.start, RESERVED.start + 0x3FF),))
    image = replace(IMAGE, elfcorehdr_segment=segment, fdt=tree)
    assert image.unreserved
    assert not image.updatable
    assert updatable(image)
