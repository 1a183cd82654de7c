# SPDX-License-Identifier: GPL-2.0-or-later
from kdumphpd.image.ranges import Range, format_size, overlaps, subtract, union


def test_ranges_that_touch_or_overlap_are_joined() -> None:
    assert union([Range(10, 19)], [Range(0, 9), Range(15, 30), Range(40, 41)]) == (Range(0, 30), Range(40, 41))


def test_a_hole_may_reach_over_several_ranges() -> None:
    assert subtract([Range(0, 9), Range(20, 29), Range(40, 49)], [Range(5, 44)]) == (Range(0, 4), Range(45, 49))


def test_holes_split_a_range() -> None:
    assert subtract([Range(0, 9)], [Range(2, 3)], [Range(5, 5)]) == (Range(0, 1), Range(4, 4), Range(6, 9))


def test_overlap_counts_both_ends() -> None:
    ranges = (Range(10, 19), Range(30, 39))
    assert overlaps(ranges, Range(19, 25))
    assert overlaps(ranges, Range(0, 10))
    assert not overlaps(ranges, Range(20, 29))
    assert not overlaps((), Range(0, 1))


def test_a_range_is_written_for_people() -> None:
    assert str(Range(0x100000000, 0x17FFFFFFF)) == "0x100000000-0x17fffffff (2 GiB)"
    assert [format_size(n) for n in (1, 4096, 127 << 20, 3 << 29, 1 << 62)] == [
        "1 B",
        "4 KiB",
        "127 MiB",
        "1.5 GiB",
        "4096 PiB",
    ]
