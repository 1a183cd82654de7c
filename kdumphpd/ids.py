# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets of small numbers (CPUs, memory blocks) kept as ranges.

A machine of 64 TiB has 262,144 memory blocks, and hotplug reports them one by one, mostly in order:
a handful of ranges holds what a set of integers would need megabytes for.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class IdSet:
    """A set of non-negative integers, written as the kernel writes its lists: ``0-3,8,10-11``."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, ids: Iterable[int] = ()) -> None:
        self._starts: list[int] = []  # first number of each range, ascending
        self._ends: list[int] = []  # one past its last number
        for number in ids:
            self.add(number)

    @classmethod
    def parse(cls, text: str) -> "IdSet":
        """Read the kernel's list format (``0-3,8``, Documentation/admin-guide/cputopology.rst).

        An empty text is the empty set. Raises ValueError for anything else that is not such a list.
        """
        result = cls()
        for part in filter(None, text.strip().split(",")):
            first, dash, last = part.partition("-")
            if not first.isdecimal() or (dash and not last.isdecimal()):
                raise ValueError(f"not a list of numbers and ranges: {text.strip()[:80]!r}")
            start, end = int(first), int(last if dash else first) + 1
            if end <= start:
                raise ValueError(f"a range that ends before it begins: {part!r}")
            result._insert(start, end)
        return result

    def add(self, number: int) -> None:
        self._insert(number, number + 1)

    def discard(self, number: int) -> None:
        at = bisect_right(self._starts, number) - 1
        if at < 0 or number >= self._ends[at]:
            return
        start, end = self._starts[at], self._ends[at]
        pieces = [(a, b) for a, b in ((start, number), (number + 1, end)) if a < b]
        self._starts[at : at + 1] = [a for a, _ in pieces]
        self._ends[at : at + 1] = [b for _, b in pieces]

    def _insert(self, start: int, end: int) -> None:
        # Every range that touches [start, end) melts into it.
        low = bisect_right(self._ends, start - 1)
        high = bisect_right(self._starts, end)
        if low < high:
            start = min(start, self._starts[low])
            end = max(end, self._ends[high - 1])
        self._starts[low:high] = [start]
        self._ends[low:high] = [end]

    def ranges(self) -> Iterator[tuple[int, int]]:
        """The ranges as (first, last), both inclusive, ascending."""
        return ((start, end - 1) for start, end in zip(self._starts, self._ends, strict=True))

    def __iter__(self) -> Iterator[int]:
        for first, last in self.ranges():
            yield from range(first, last + 1)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number < self._ends[at]

    def __len__(self) -> int:
        return sum(self._ends) - sum(self._starts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IdSet):
            return NotImplemented
        return self._starts == other._starts and self._ends == other._ends

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __str__(self) -> str:
        return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in self.ranges())

    def __repr__(self) -> str:
        return f"IdSet.parse({str(self)!r})"
