# SPDX-License-Identifier: GPL-2.0-or-later
"""Ranges of physical addresses, in bytes, both ends inclusive as in /proc/iomem and struct resource."""

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias


class Range(NamedTuple):
    """The addresses start..end, end included (so that the last byte of the address space can be named)."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.end - self.start + 1

    def __str__(self) -> str:
        return f"{self.start:#x}-{self.end:#x} ({format_size(self.size)})"


Ranges: TypeAlias = tuple[Range, ...]


def union(*sets: Iterable[Range]) -> Ranges:
    """Return what any of sets covers: sorted, disjoint, ranges that touch joined."""
    joined: list[Range] = []
    for start, end in sorted(r for ranges in sets for r in ranges):
        if joined and start <= joined[-1].end + 1:
            joined[-1] = Range(joined[-1].start, max(joined[-1].end, end))
        else:
            joined.append(Range(start, end))
    return tuple(joined)


def subtract(ranges: Iterable[Range], *less: Iterable[Range]) -> Ranges:
    """Return what ranges covers and no set in less does, as union() would."""
    holes = union(*less)
    rest: list[Range] = []
    i = 0
    for start, end in union(ranges):
        # A hole may reach into the next range, so only those that end before this one are done with.
        while i < len(holes) and holes[i].end < start:
            i += 1
        j = i
        while j < len(holes) and holes[j].start <= end:
            if holes[j].start > start:
                rest.append(Range(start, holes[j].start - 1))
            start = holes[j].end + 1
            j += 1
        if start <= end:
            rest.append(Range(start, end))
        i = max(i, j - 1)
    return tuple(rest)


def intersect(ranges: Iterable[Range], other: Iterable[Range]) -> Ranges:
    """Return what both ranges and other cover, as union() would."""
    whole = union(ranges)
    return subtract(whole, subtract(whole, other))


def overlaps(ranges: Ranges, other: Range) -> bool:
    """Tell whether other shares an address with ranges, which are sorted and disjoint (see union())."""
    last = bisect_right(ranges, other.end, key=lambda r: r.start) - 1
    return last >= 0 and ranges[last].end >= other.start


def total(ranges: Iterable[Range]) -> int:
    """Return the bytes in ranges, which are disjoint."""
    return sum(r.size for r in ranges)


def format_size(size: int) -> str:
    """Return size, in bytes, in the largest binary unit that it fills: 2147483648 is "2 GiB"."""
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.4g} {unit}"
