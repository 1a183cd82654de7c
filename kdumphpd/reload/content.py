# SPDX-License-Identifier: GPL-2.0-or-later
"""The bytes of a file by position, and what is said of a file whose bytes are not all there."""

from collections.abc import Callable

CHUNK = 1 << 16  # bytes

# What looking at one file may cost: reads, and KiB unpacked. It takes some ten seconds to get there, and no file
# that a capture kernel could unpack does; bytes that make us look forever do.
MAX_WORK = 1 << 22


class Damaged(Exception):  # noqa: N818 - a finding
    """The file can't be used; the message goes on where its name ends ("ends after 12 bytes")."""


class CutShort(Damaged):
    """The file ends before what it holds does."""


class Content:
    """`size` bytes, which `pread(at, size)` returns, fewer at the end.

    They are read, not mapped: where somebody cuts the file meanwhile, a map answers with SIGBUS.
    """

    def __init__(self, size: int, pread: Callable[[int, int], bytes]) -> None:
        self.size = size
        self._pread = pread
        self._work = 0

    def peek(self, at: int, size: int) -> bytes:
        """What is there of `size` bytes at `at`."""
        self.spend(1)
        return self._pread(at, size) if at < self.size else b""

    def read(self, at: int, size: int) -> bytes:
        """`size` bytes at `at`. Raises CutShort."""
        data = self.peek(at, size) if at + size <= self.size else b""
        if len(data) < size:
            raise self.cut_short()
        return data

    def past_zeros(self, at: int) -> int:
        """The position of the first byte from `at` on that is not zero; the size where there is none."""
        while piece := self.peek(at, CHUNK):
            if rest := piece.lstrip(b"\0"):
                return at + len(piece) - len(rest)
            at += len(piece)
        return self.size

    def end_of_data(self) -> int:
        """The position after the last byte that is not zero."""
        end = self.size
        while end > 0:
            start = max(0, end - CHUNK)
            if data := self.peek(start, end - start).rstrip(b"\0"):
                return start + len(data)
            end = start
        return 0

    def spend(self, work: int) -> None:
        """Count what looking at the file costs. Raises Damaged where that is out of all proportion."""
        self._work += work
        if self._work > MAX_WORK:
            raise Damaged("is damaged: it is made of more pieces than any file of its kind")

    def cut_short(self) -> CutShort:
        return CutShort(f"ends after {self.size} bytes")
