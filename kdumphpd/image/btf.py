# SPDX-License-Identifier: GPL-2.0-or-later
"""Layout of kernel structures from the kernel's own BTF, so that no debuginfo is needed.

Source: Documentation/bpf/btf.rst; include/uapi/linux/btf.h.
"""

import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from kdumphpd.image.elf import ByteOrder
from kdumphpd.image.errors import ParseError

MAGIC = 0xEB9F
HEADER_SIZE = 24  # struct btf_header up to str_len, the part that every version has

INT, PTR, ARRAY, STRUCT, UNION, ENUM = 1, 2, 3, 4, 5, 6
TYPEDEF, VOLATILE, CONST, RESTRICT, FLOAT, TYPE_TAG, ENUM64 = 8, 9, 10, 11, 16, 18, 19
ALIASES = frozenset((TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG))
SIZED = frozenset((INT, STRUCT, UNION, ENUM, FLOAT, ENUM64))

# 32-bit words that follow the three of struct btf_type, by kind from BTF_KIND_UNKN (0, never in a file) to
# BTF_KIND_ENUM64 (19): fixed ones, and ones for each of the vlen members.
FIXED_WORDS = (0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0)
MEMBER_WORDS = (0, 0, 0, 0, 3, 3, 2, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 3)

# BTF does not say how large a pointer is; whoever uses these layouts reads a 64-bit kernel's memory (elf.py).
POINTER_BITS = 64

# Real chains (typedef of const of array of ...) and nestings have a handful of steps, struct kimage some 40
# members. The limits stop a file that refers to itself.
MAX_STEPS = 32
MAX_MEMBERS = 4096
MAX_NAME = 512  # bytes with the NUL, KSYM_NAME_LEN


class Field(NamedTuple):
    """Where a member lies: offset from the start of the structure and size, both in bits.

    An array has that many elements of bits // elements bits each; anything else is one element.
    """

    offset: int
    bits: int
    elements: int = 1


@dataclass(frozen=True, slots=True)
class Struct:
    """Layout of a structure of size bytes; members of anonymous members appear as its own, as in C."""

    size: int
    fields: dict[str, Field]


def extract(data: bytes, byteorder: ByteOrder, field: Field) -> int:
    """Return the unsigned value of field, bitfield or not, in a structure's bytes.

    On big-endian machines bit offsets count from the most significant bit (__btf_member_bit_field() in
    kernel/bpf/btf.c). Raises ParseError where data is too short.
    """
    first, last = field.offset // 8, (field.offset + field.bits + 7) // 8
    if last > len(data):
        raise ParseError(f"a structure of {len(data)} bytes has no bit {field.offset + field.bits - 1}")
    value = int.from_bytes(data[first:last], byteorder)
    shift = field.offset % 8 if byteorder == "little" else last * 8 - field.offset - field.bits
    return value >> shift & ((1 << field.bits) - 1)


class Btf:
    """The types of one BTF file, walked no further than asked.

    Raises ParseError, here and in struct(), where data is not BTF.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) < HEADER_SIZE:
            raise ParseError("the BTF header is cut short")
        byteorder: ByteOrder = "little" if data[0] == MAGIC & 0xFF else "big"
        prefix = "<" if byteorder == "little" else ">"
        if int.from_bytes(data[:2], byteorder) != MAGIC:
            raise ParseError("not BTF: the magic is missing")
        header_size, types_at, types_size, strings_at, strings_size = struct.unpack_from(f"{prefix}5I", data, 4)
        types = data[header_size + types_at :][:types_size]
        self._strings = data[header_size + strings_at :][:strings_size]
        if len(types) < types_size or len(self._strings) < strings_size or types_size % 4:
            raise ParseError("the BTF sections do not fit in the file")
        # Every part of a type is made of 32-bit words, and indexing an array of them is what makes the walk
        # over 126,000 types quick.
        self._words = array("I", types)
        if byteorder != sys.byteorder:
            self._words.byteswap()
        # Index of the first word by type id. Id 0 is void, and the last one is yet to be walked.
        self._starts = [0, 0]

    def struct(self, name: str) -> Struct:
        """Return the layout of struct name. Raises ParseError where there is none, or no sense in it."""
        offsets = self._name_offsets(name)
        for index, kind, start in self._walk():
            if kind == STRUCT and self._words[start] in offsets:
                fields: dict[str, Field] = {}
                for member, field in self._members(index, 0, [MAX_MEMBERS], 0):
                    fields.setdefault(member, field)
                return Struct(self._words[start + 2], fields)
        raise ParseError(f"BTF has no struct {name}")

    def _name_offsets(self, name: str) -> frozenset[int]:
        """Return every offset at which name stands in the strings, be it as the tail of a longer one."""
        wanted = name.encode() + b"\0"
        offsets = []
        at = self._strings.find(wanted)
        while at >= 0:
            offsets.append(at)
            at = self._strings.find(wanted, at + 1)
        return frozenset(offsets)

    def _name(self, offset: int) -> str:
        end = self._strings.find(b"\0", offset, offset + MAX_NAME)
        if end < 0:
            raise ParseError(f"BTF has no string at {offset}")
        return self._strings[offset:end].decode("ascii", "replace")

    def _walk(self, index: int = 1) -> Iterator[tuple[int, int, int]]:
        """Yield id, kind and first word of type index, and of all that follow it."""
        words, starts = self._words, self._starts
        while True:
            while len(starts) <= index + 1:
                if starts[-1] + 3 > len(words):
                    if starts[-1] != len(words):
                        raise ParseError("the last BTF type is cut short")
                    return
                info = words[starts[-1] + 1]
                # 5 bits of kind and 16 of vlen; the bits above each are reserved and zero, so taking them in
                # is safe today, and a file that uses them is not misread.
                kind, vlen = info >> 24 & 0x7F, info & 0xFFFFFF
                if not 0 < kind < len(FIXED_WORDS):
                    raise ParseError(f"BTF kind {kind} is unknown")
                starts.append(starts[-1] + 3 + FIXED_WORDS[kind] + MEMBER_WORDS[kind] * vlen)
            if starts[index + 1] > len(words):
                raise ParseError("a BTF type is cut short")
            yield index, words[starts[index] + 1] >> 24 & 0x7F, starts[index]
            index += 1

    def _type(self, index: int) -> tuple[int, int, int]:
        """Return id, kind and first word of type index, behind typedefs and qualifiers."""
        for _ in range(MAX_STEPS):
            found = next(self._walk(index), None) if index else None
            if found is None:
                raise ParseError(f"BTF has no type {index} that takes up space")
            if found[1] not in ALIASES:
                return found
            index = self._words[found[2] + 2]
        raise ParseError("a BTF typedef leads nowhere")

    def _size(self, index: int) -> tuple[int, int]:
        """Return size in bits and number of elements of type index."""
        count = 1
        for _ in range(MAX_STEPS):
            _, kind, start = self._type(index)
            if kind == ARRAY:
                count *= self._words[start + 5]
                index = self._words[start + 3]
            elif kind == PTR:
                return POINTER_BITS * count, count
            elif kind in SIZED:
                return self._words[start + 2] * 8 * count, count
            else:
                break
        raise ParseError(f"BTF type {index} has no size")

    def _members(self, index: int, base: int, budget: list[int], depth: int) -> Iterator[tuple[str, Field]]:
        """Yield the members of structure or union index, which begins at bit base of the outermost one."""
        words = self._words
        _, _, start = self._type(index)
        info = words[start + 1]
        if depth > MAX_STEPS:
            raise ParseError("BTF structures are nested too deep")
        for at in range(start + 3, start + 3 + 3 * (info & 0xFFFFFF), 3):
            budget[0] -= 1
            if budget[0] < 0:
                raise ParseError("a BTF structure has too many members")
            name_offset, member, place = words[at : at + 3]
            # kind_flag: the upper 8 bits of the place are the size of a bitfield, or 0.
            offset, bitfield = (place & 0xFFFFFF, place >> 24) if info >> 31 else (place, 0)
            name = self._name(name_offset)
            if not name:
                inner, kind, _ = self._type(member)
                if kind in (STRUCT, UNION):
                    yield from self._members(inner, base + offset, budget, depth + 1)
                continue
            yield (
                name,
                Field(base + offset, bitfield, 1) if bitfield else Field(base + offset, *self._size(member)),
            )
