# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever the bytes: reservations of an FDT are read back, and what is no part of an image is never found in it."""

from hypothesis import given
from hypothesis import strategies as st

from kdumphpd.image.elf import ByteOrder
from kdumphpd.image.fdt import parse_fdt
from kdumphpd.image.kimage import Segment
from kdumphpd.image.purgatory import covers
from kdumphpd.image.ranges import Range, union
from tests.property.image.test_image_properties import ADDRESSES, ORDERS, RANGES
from tests.unit.image import fdts

SEGMENTS = st.builds(Segment, ADDRESSES, ADDRESSES, ADDRESSES)


@given(st.lists(RANGES), st.integers(0, 9))
def test_reservations_round_trip(ranges: list[tuple[int, int]], slack: int) -> None:
    reserved = [(start, end - start + 1) for start, end in ranges]
    read = parse_fdt(fdts.flatten(fdts.Node(""), slack, reserved=reserved))
    assert read.reserved == union(Range(*r) for r in ranges)


@given(st.binary(max_size=64), st.sampled_from(ORDERS), SEGMENTS, SEGMENTS)
def test_a_segment_is_covered_where_it_is_listed(
    code: bytes, byteorder: ByteOrder, listed: Segment, other: Segment
) -> None:
    data = code + listed.mem.to_bytes(8, byteorder) + listed.memsz.to_bytes(8, byteorder) + code
    assert covers(data, listed, byteorder)
    assert covers(code, other, byteorder) == (
        other.mem.to_bytes(8, byteorder) + other.memsz.to_bytes(8, byteorder) in code
    )
