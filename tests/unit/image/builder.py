# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes as a kernel would have them: BTF, struct kimage, elfcorehdr, kcore, and a /proc and /sys of files."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kdumphpd.image.elf import ByteOrder

MIB, GIB = 1 << 20, 1 << 30
DIMM = (4 * GIB, 5 * GIB - 1)  # one that is plugged in
PREFIX = {"little": "<", "big": ">"}
EM = {"little": 62, "big": 21}  # x86-64, PowerPC64
LINEAR = {"little": 0xFFFF_8880_0000_0000, "big": 0xC000_0000_0000_0000}

# name: (bit offset, bits); bits below 8 are a bitfield. Arrangements of their own, so that no test passes
# because an offset was known beforehand.
HOTPLUG_SUPPORT = {
    "type": (5120, 1),
    "preserve_context": (5121, 1),
    "file_mode": (5122, 1),
    "hotplug_support": (5123, 1),
}
UPDATE_BOTH = {
    "type": (5120, 1),
    "file_mode": (5122, 1),
    "update_elfcorehdr": (5124, 1),
    "update_fdt": (5125, 1),
}
NO_HOTPLUG = {"type": (5120, 1), "preserve_context": (5121, 1), "file_mode": (5122, 1)}
NR_SEGMENTS, SEGMENTS, KIMAGE_SIZE = 56, 64, 712  # bytes


def btf(byteorder: ByteOrder = "little", bits: dict[str, tuple[int, int]] = HOTPLUG_SUPPORT) -> bytes:
    """BTF of the structures that an image is read with, among types of every other kind."""
    p = PREFIX[byteorder]
    strings = bytearray(b"\0")
    records: list[bytes] = []

    def name(text: str) -> int:
        if not text:
            return 0
        at = strings.find(text.encode() + b"\0")
        if at < 0:
            at = len(strings)
            strings.extend(text.encode() + b"\0")
        return at

    def add(text: str, kind: int, last: int, *words: int, vlen: int = 0, flag: bool = False) -> int:
        info = flag << 31 | kind << 24 | vlen
        records.append(struct.pack(f"{p}{3 + len(words)}I", name(text), info, last, *words))
        return len(records)

    def composite(
        text: str, kind: int, size: int, members: Sequence[tuple[str, int, int]], flag: bool = False
    ) -> int:
        words = [w for n, t, place in members for w in (name(n), t, place)]
        return add(text, kind, size, *words, vlen=len(members), flag=flag)

    # "a_kimage" ends in the name looked for.
    composite("a_kimage", 4, 0, [])
    char = add("char", 1, 1, 8)
    u32 = add("unsigned int", 1, 4, 32)
    u64 = add("long unsigned int", 1, 8, 64)
    pointer = add("", 2, 0)
    size_t = add("size_t", 8, u64)
    add("", 3, 0, char, u32, 4)
    composite("kimage", 5, 8, [("not_it", u64, 0)])  # a union of that name is not the struct
    add("an_enum", 6, 4, name("A"), 0, name("B"), 1, vlen=2)
    add("a_forward", 7, 0)
    add("a_function", 12, add("", 13, 0, name("x"), u32, vlen=1))
    add("a_variable", 14, u32, 1)
    add("a_section", 15, 4, u32, 0, 4, vlen=1)
    add("a_float", 16, 8)
    add("a_tag", 17, u32, 0)
    add("an_enum64", 19, 8, name("C"), 0, 0, vlen=1)
    tagged = add("a_type_tag", 18, u64)
    composite("range", 4, 16, [("start", u64, 0), ("end", u64, 64)])
    composite("resource", 4, 32, [("start", tagged, 0), ("end", u64, 64), ("name", pointer, 128)])
    buffers = composite("", 5, 8, [("buf", pointer, 0), ("kbuf", pointer, 0)])
    segment_type = len(records) + 1
    composite(
        "kexec_segment", 4, 32, [("", buffers, 0), ("bufsz", size_t, 64), ("mem", u64, 128), ("memsz", u64, 192)]
    )
    array = add("", 3, 0, segment_type, u32, 16)
    inner = composite("", 4, 8, [("nr_segments", add("", 10, u64), 0)])
    composite(
        "kimage",
        4,
        KIMAGE_SIZE,
        [("head", u64, 0), ("", inner, NR_SEGMENTS * 8), ("segment", array, SEGMENTS * 8)]
        + [(n, u32, size << 24 | offset) for n, (offset, size) in bits.items()],
        flag=True,
    )
    types = b"".join(records)
    return struct.pack(f"{p}HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings)) + types + strings


def set_bit(data: bytearray, byteorder: ByteOrder, offset: int) -> None:
    """Set a bit, counted as BTF counts them on a machine of that byte order."""
    data[offset // 8] |= 1 << offset % 8 if byteorder == "little" else 0x80 >> offset % 8


def kimage(
    byteorder: ByteOrder,
    segments: Sequence[tuple[int, int, int]],
    flags: Iterable[str] = (),
    bits: dict[str, tuple[int, int]] = HOTPLUG_SUPPORT,
) -> bytes:
    """A struct kimage of a crash image; segments as (mem, memsz, bufsz)."""
    p = PREFIX[byteorder]
    data = bytearray(KIMAGE_SIZE)
    struct.pack_into(f"{p}Q", data, NR_SEGMENTS, len(segments))
    for i, (mem, memsz, bufsz) in enumerate(segments):
        struct.pack_into(f"{p}QQQQ", data, SEGMENTS + 32 * i, 0x1234, bufsz, mem, memsz)
    for flag in ("type", *flags):
        set_bit(data, byteorder, bits[flag][0])
    return bytes(data)


def elf_core(
    byteorder: ByteOrder,
    entries: Sequence[tuple[int, int, int, int, int]],
    machine: int | None = None,
) -> bytes:
    """ELF core headers; entries as (type, offset, vaddr, paddr, size)."""
    p = PREFIX[byteorder]
    ident = b"\x7fELF" + bytes([2, 1 if byteorder == "little" else 2, 1]) + bytes(9)
    head = struct.pack(
        f"{p}HHIQQQIHHHHHH",
        4,
        EM[byteorder] if machine is None else machine,
        1,
        0,
        64,
        0,
        0,
        64,
        56,
        len(entries),
        0,
        0,
        0,
    )
    table = b"".join(
        struct.pack(f"{p}IIQQQQQQ", kind, 0, offset, vaddr, paddr, size, size, 0)
        for kind, offset, vaddr, paddr, size in entries
    )
    return ident + head + table


def elfcorehdr(
    byteorder: ByteOrder, notes: Iterable[int], loads: Iterable[tuple[int, int]], padding: int = 0
) -> bytes:
    """An elfcorehdr; loads as (start, end), inclusive; followed by padding PT_NULL entries."""
    entries = [(4, note, 0, note, 0x1000) for note in notes]
    entries += [(1, start, 0, start, end - start + 1) for start, end in loads]
    return elf_core(byteorder, entries + [(0, 0, 0, 0, 0)] * padding)


def boot_params(command_line: str) -> bytes:
    """x86 boot parameters, with the command line behind them."""
    data = bytearray(4096)
    data[0x202:0x206] = b"HdrS"
    struct.pack_into("<I", data, 0x228, KERNEL_AT + 4096)
    return bytes(data) + command_line.encode() + b"\0"


KERNEL = {"little": 0xFFFF_FFFF_8100_0000, "big": 0xC000_0000_0001_0000}
IMAGE_POINTER, CRASHK_RES, CRASHK_LOW_RES, CMA_COUNT, CMA_RANGES = 0x100, 0x200, 0x300, 0x400, 0x500
SYMBOLS = {
    "kexec_crash_image": IMAGE_POINTER,
    "crashk_res": CRASHK_RES,
    "crashk_low_res": CRASHK_LOW_RES,
}
CMA_SYMBOLS = {"crashk_cma_cnt": CMA_COUNT, "crashk_cma_ranges": CMA_RANGES}
KIMAGE_AT = 0x2000  # physical

RESERVED = (0x1000_0000, 0x1FFF_FFFF)
ELF_AT, FDT_AT, KERNEL_AT = RESERVED[0], RESERVED[0] + MIB, RESERVED[0] + 2 * MIB


@dataclass
class Kernel:
    """A machine of files below root, which tests change and write() anew."""

    root: Path
    byteorder: ByteOrder = "little"
    loaded: bool = True
    pointer: bool = True
    flags: tuple[str, ...] = ()
    bits: dict[str, tuple[int, int]] = field(default_factory=lambda: HOTPLUG_SUPPORT)
    ram: tuple[tuple[int, int], ...] = ((0x1000, 0x9FBFF), (MIB, 2 * GIB - 1))
    loads: tuple[tuple[int, int], ...] = ((MIB, RESERVED[0] - 1), (RESERVED[1] + 1, 2 * GIB - 1))
    cpus: tuple[int, ...] = (0, 1)
    notes: tuple[int, ...] = (0x3000, 0x3200, 0x9000)  # of CPUs 0 and 1, and vmcoreinfo
    tree: bytes | None = None
    segments: tuple[tuple[int, int, int], ...] | None = None
    cma: tuple[tuple[int, int], ...] = ()
    paddr_known: bool = True
    block: int = 128 * MIB
    offline: tuple[int, ...] = ()
    absent: tuple[int, ...] = ()  # memory blocks that do not exist yet
    boot_params: bytes = b""  # of x86, at the beginning of the kernel's segment

    def write(self) -> "Kernel":
        """Make the files say what the fields do."""
        p = PREFIX[self.byteorder]
        self._file("proc/sys/kernel/random/boot_id", "0f8f1b1e-0000-4000-8000-000000000001\n")
        self._file("sys/kernel/kexec_crash_loaded", f"{self.loaded:d}\n")
        symbols = SYMBOLS | (CMA_SYMBOLS if self.cma else {})
        base = KERNEL[self.byteorder]
        lines = [f"{base:016x} T _text", f"{base + 8:016x} t kexec_crash_image_not"]
        lines += [f"{base + at:016x} B {name}" for name, at in symbols.items()]
        lines.append(f"{base + 0x999:016x} d kexec_crash_image\t[a_module]")
        self._file("proc/kallsyms", "\n".join(lines) + "\n")
        self._bytes("sys/kernel/btf/vmlinux", btf(self.byteorder, self.bits))
        self._file("proc/iomem", self.iomem())
        self._file("sys/devices/system/cpu/online", ",".join(map(str, self.cpus)) + "\n")
        for n in self.cpus:
            self._file(f"sys/devices/system/cpu/cpu{n}/crash_notes", f"{0x3000 + n * 0x200:x}\n")
            if self.byteorder == "big":
                self._file(f"sys/devices/system/cpu/cpu{n}/physical_id", f"{n}\n")
        self._file("sys/devices/system/memory/block_size_bytes", f"{self.block:x}\n")
        for start, end in self.ram:
            for n in range(start // self.block, end // self.block + 1):
                if n in self.absent:
                    continue
                state = "offline" if n in self.offline else "online"
                self._file(f"sys/devices/system/memory/memory{n}/state", f"{state}\n")

        header = elfcorehdr(self.byteorder, self.notes, self.loads, padding=3)
        segments = self.segments
        if segments is None:
            segments = ((KERNEL_AT, MIB, 100), (ELF_AT, MIB, len(header)))
            if self.tree:
                segments += ((FDT_AT, MIB, len(self.tree)),)
        data = bytearray(0x1000)
        if self.pointer:
            struct.pack_into(f"{p}Q", data, IMAGE_POINTER, LINEAR[self.byteorder] + KIMAGE_AT)
        struct.pack_into(f"{p}QQ", data, CRASHK_RES, *RESERVED)
        struct.pack_into(f"{p}I", data, CMA_COUNT, len(self.cma))
        for i, (start, end) in enumerate(self.cma):
            struct.pack_into(f"{p}QQ", data, CMA_RANGES + 16 * i, start, end)
        image = kimage(self.byteorder, segments, self.flags, self.bits)
        areas = [
            (KERNEL[self.byteorder], (1 << 64) - 1, bytes(data)),
            (LINEAR[self.byteorder], 0, bytes(KIMAGE_AT) + image + bytes(0x1000)),
            (LINEAR[self.byteorder] + ELF_AT, ELF_AT, header.ljust(MIB, b"\0")),
            (LINEAR[self.byteorder] + FDT_AT, FDT_AT, (self.tree or b"").ljust(MIB, b"\0")),
            (LINEAR[self.byteorder] + KERNEL_AT, KERNEL_AT, (self.boot_params or b"\x4d\x5a").ljust(MIB, b"\0")),
        ]
        self._bytes("proc/kcore", kcore(self.byteorder, areas, self.paddr_known))
        return self

    def iomem(self) -> str:
        """/proc/iomem, with devices between and the kernel inside of the RAM."""
        lines = ["00000000-00000fff : Reserved"]
        for start, end in self.ram:
            lines.append(f"{start:08x}-{end:08x} : System RAM")
            if start <= RESERVED[0] <= end and self.byteorder == "little":
                lines += [
                    "  01000000-01ffffff : Kernel code",
                    f"  {RESERVED[0]:08x}-{RESERVED[1]:08x} : Crash kernel",
                ]
        return "\n".join([*lines, "fec00000-fec003ff : IOAPIC 0"]) + "\n"

    def _file(self, path: str, text: str) -> None:
        self._bytes(path, text.encode())

    def _bytes(self, path: str, data: bytes) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(data)


def kcore(byteorder: ByteOrder, areas: Sequence[tuple[int, int, bytes]], paddr_known: bool = True) -> bytes:
    """A kcore of areas, (vaddr, paddr, bytes); not paddr_known: none but the first two tells its p_paddr."""
    at = 64 + 56 * (len(areas) + 1)
    entries = [(4, 0, 0, 0, 0)]  # a PT_NOTE, as the real one begins with
    for i, (vaddr, paddr, data) in enumerate(areas):
        entries.append((1, at, vaddr, paddr if paddr_known or i < 2 else (1 << 64) - 1, len(data)))
        at += len(data)
    return elf_core(byteorder, entries) + b"".join(data for _, _, data in areas)


def no_sleep(_: float) -> None:
    """For whoever would wait."""
