# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets of addresses, against sets of integers."""

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kdumphpd.image.ranges import Range, overlaps, subtract, union

SMALL = st.lists(st.builds(lambda a, n: Range(a, a + n), st.integers(0, 60), st.integers(0, 12)), max_size=8)


def points(ranges: Iterable[Range]) -> set[int]:
    return {n for r in ranges for n in range(r.start, r.end + 1)}


@given(SMALL, SMALL, SMALL)
def test_range_algebra_is_that_of_sets(a: list[Range], b: list[Range], c: list[Range]) -> None:
    for result, expected in (
        (union(a, b), points(a) | points(b)),
        (subtract(a, b, c), points(a) - points(b) - points(c)),
    ):
        assert points(result) == expected
        assert all(x.end + 1 < y.start for x, y in pairwise(result)), "sorted and apart"
    for r in b:
        assert overlaps(union(a), r) == bool(points(a) & points([r]))
