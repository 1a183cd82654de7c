# SPDX-License-Identifier: GPL-2.0-or-later
"""The flattened device tree segment: which CPUs the capture kernel can boot on, room for more, and its command line.

Source: Devicetree Specification 0.4, chapter 5; update_cpus_node() in arch/powerpc/kexec/core_64.c.
"""

import struct
from contextlib import suppress
from dataclasses import dataclass

from kdumphpd.image import cmdline
from kdumphpd.image.errors import ParseError
from kdumphpd.image.identity import digest
from kdumphpd.image.ranges import Range, Ranges, union

MAGIC = b"\xd0\x0d\xfe\xed"
HEADER_SIZE = 40  # ten big-endian words, whatever the machine's byte order
BEGIN_NODE, END_NODE, PROP, NOP, END = 1, 2, 3, 4, 9

# The format's first version with names relative to the parent, and the newest there is.
FIRST_VERSION, LAST_VERSION = 16, 17

MAX_DEPTH = 64  # a PowerPC tree has some 8 levels
MAX_RESERVATIONS = 4096  # entries of the memory reservation map; kexec-tools writes some six
MAX_NAME = 256  # bytes with the NUL; property names have 31 by the specification, and some more in practice


@dataclass(frozen=True, slots=True)
class CpuNode:
    """A node below /cpus: its name, hardware ids of its threads, and what it takes in the tree (bytes)."""

    name: str
    hw_ids: tuple[int, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Fdt:
    """What matters of a flattened device tree.

    totalsize and slack, the unused end of it, in bytes. bootargs: the capture kernel's command line, None where there
    is none. reserved: physical memory that the capture kernel keeps its hands off (memory reservation map).
    chosen: a digest of /chosen, which a load fills in again and no update by the kernel touches.
    """

    totalsize: int
    slack: int
    cpus: tuple[CpuNode, ...]
    bootargs: str | None = None
    reserved: Ranges = ()
    chosen: str = ""

    @property
    def hw_ids(self) -> frozenset[int]:
        """Hardware ids of every thread that the tree has."""
        return frozenset(hw_id for cpu in self.cpus for hw_id in cpu.hw_ids)

    @property
    def room(self) -> int | None:
        """How many more nodes as large as the largest CPU's fit.

        None where the tree has no CPU to measure by: one that an update left half-written (see update_cpus_node()),
        or a tree that never had any, such as arm64's for a capture kernel that finds its CPUs by ACPI. It is not 0:
        how many fit is unknown.
        PowerPC's kexec_extra_fdt_size_ppc64() intends this to suffice for every possible CPU.
        """
        largest = max((cpu.size for cpu in self.cpus), default=0)
        return self.slack // largest if largest else None


def total_size(data: bytes) -> int:
    """Return the size in bytes of the tree that data, its header at least, begins. Raises ParseError."""
    if len(data) < HEADER_SIZE or data[:4] != MAGIC:
        raise ParseError("not a flattened device tree")
    return int.from_bytes(data[4:8], "big")


def parse_fdt(data: bytes) -> Fdt:
    """Return what the flattened device tree in data says of the above. Raises ParseError."""
    size = total_size(data)
    struct_at, strings_at, reserved_at, version, compatible = struct.unpack_from(">5I", data, 8)
    (strings_size,) = struct.unpack_from(">I", data, 32)
    strings_end = strings_at + strings_size
    if size > len(data) or strings_end > size or struct_at > size:
        raise ParseError("the device tree does not fit in its segment")
    if version < FIRST_VERSION or compatible > LAST_VERSION:
        raise ParseError(f"device tree format {version} is not supported")
    reserved = _reserved(data[:size], reserved_at)
    cpus, chosen, struct_end = _walk(data[:size], struct_at, data[strings_at:strings_end])
    bootargs = None
    with suppress(ParseError):  # a command line that makes no sense is an unknown one
        bootargs = cmdline.decode(chosen["bootargs"]) if "bootargs" in chosen else None
    return Fdt(
        size,
        size - max(struct_end, strings_end),
        cpus,
        bootargs,
        reserved,
        digest(*(part for name, value in chosen.items() for part in (name.encode(), value))),
    )


def _reserved(data: bytes, at: int) -> Ranges:
    """Return the memory reservation map at offset at: pairs of address and size, up to one of zeros."""
    ranges: list[Range] = []
    for _ in range(MAX_RESERVATIONS):
        if at + 16 > len(data):
            raise ParseError("the memory reservation map is cut short")
        start, size = struct.unpack_from(">QQ", data, at)
        at += 16
        if not start and not size:
            return union(ranges)
        if start + size > 1 << 64:
            raise ParseError(f"a reservation of {size:#x} bytes at {start:#x} leaves the address space")
        if size:
            ranges.append(Range(start, start + size - 1))
    raise ParseError("the memory reservation map has no end")


def _walk(data: bytes, at: int, strings: bytes) -> tuple[tuple[CpuNode, ...], dict[str, bytes], int]:
    """Return the CPU nodes of the structure block at offset at, the properties of /chosen, and where it ends."""
    cpus: list[CpuNode] = []
    chosen: dict[str, bytes] = {}
    path: list[str] = []
    start = 0
    properties: dict[str, bytes] = {}
    while True:
        token, begin = _word(data, at), at
        at += 4
        if token == BEGIN_NODE:
            end = data.find(b"\0", at)
            if end < 0 or len(path) >= MAX_DEPTH:
                raise ParseError("the device tree has a node without end, or too many in one another")
            path.append(data[at:end].decode("ascii", "replace"))
            at = end + 4 & ~3  # past the NUL, on a word
            if _is_cpus_child(path):
                start, properties = begin, {}
        elif token == END_NODE:
            if not path:
                raise ParseError("the device tree ends a node that it did not begin")
            # A cache below /cpus is no CPU: early_init_dt_scan_cpus() asks for the device_type too.
            if _is_cpus_child(path) and properties.get("device_type") == b"cpu\0":
                cpus.append(CpuNode(path[-1], _hw_ids(properties), at - start))
            path.pop()
        elif token == PROP:
            length, name = _word(data, at), _word(data, at + 4)
            at += 8
            if at + length > len(data):
                raise ParseError("a device tree property is cut short")
            if _is_cpus_child(path):
                properties[_string(strings, name)] = data[at : at + length]
            elif path[1:] == ["chosen"]:
                chosen[_string(strings, name)] = data[at : at + length]
            at = at + length + 3 & ~3
        elif token == END:
            if path:
                raise ParseError("the device tree ends within a node")
            return tuple(cpus), chosen, at
        elif token != NOP:
            raise ParseError(f"device tree token {token:#x} is unknown")


def _is_cpus_child(path: list[str]) -> bool:
    return len(path) == 3 and path[1] == "cpus"


def _hw_ids(properties: dict[str, bytes]) -> tuple[int, ...]:
    """Return a CPU node's hardware thread ids: PowerPC lists a core's threads, others give one in reg."""
    cells = properties.get("ibm,ppc-interrupt-server#s", properties.get("reg", b""))
    return tuple(cell for (cell,) in struct.iter_unpack(">I", cells[: len(cells) & ~3]))


def _word(data: bytes, at: int) -> int:
    if at + 4 > len(data):
        raise ParseError("the device tree is cut short")
    return int.from_bytes(data[at : at + 4], "big")


def _string(strings: bytes, at: int) -> str:
    end = strings.find(b"\0", at, at + MAX_NAME)
    if end < 0:
        raise ParseError(f"the device tree has no string at {at}")
    return strings[at:end].decode("ascii", "replace")
