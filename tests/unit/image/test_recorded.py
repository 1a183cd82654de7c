# SPDX-License-Identifier: GPL-2.0-or-later
"""The parsers on what real kernels had in memory: fixtures that `python -m tests.vm.record` wrote."""

import errno
import json
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdumphpd.ids import IdSet
from kdumphpd.image import fdt, reader
from kdumphpd.image.elf import ByteOrder
from kdumphpd.image.elfcorehdr import parse_elfcorehdr
from kdumphpd.image.examine import examine
from kdumphpd.image.fdt import parse_fdt
from kdumphpd.image.kcore import Kcore, parse_kcore
from kdumphpd.image.kimage import KImage, parse_kimage
from kdumphpd.image.layout import MEMBERS, parse_structs
from kdumphpd.image.ranges import Range, Ranges, overlaps, subtract, union
from kdumphpd.image.reader import Image
from kdumphpd.image.verdict import FIRST_MIB, Verdict
from tests.property.image.test_image_properties import feed, mutations
from tests.unit.image import builder
from tests.vm.record import RECORDED, reduce_btf

# A way to load the image, and what then came (a CPU and a DIMM) and went (the DIMM).
STEPS = ("", "-plugged", "-unplugged")
WAYS = {
    "x86_64 6.1": {"s", "c"},  # its kexec has no --hotplug
    "x86_64 6.12": {"s", "c", "c-hotplug"},
    "x86_64 7.3": {"s", "c", "c-hotplug"},
    "ppc64le 6.12": {"c", "c-hotplug"},  # its kernel has no kexec_file_load
    "aarch64 6.12": {"c"},  # nor this one, which updates no image either
}


@dataclass(frozen=True)
class Kernel:
    """What is recorded of one kernel."""

    folder: Path

    def __str__(self) -> str:
        return self.folder.name

    def __getitem__(self, key: str) -> Any:
        return json.loads((self.folder / "kernel.json").read_text())[key]

    @property
    def btf(self) -> bytes:
        return (self.folder / "btf.bin").read_bytes()

    @property
    def byteorder(self) -> ByteOrder:
        return "little" if self.btf[0] == 0x9F else "big"


@dataclass(frozen=True)
class Load:
    """What is recorded of one image at one moment."""

    folder: Path

    def __str__(self) -> str:
        return f"{self.kernel}-{self.folder.name}"

    def __getitem__(self, key: str) -> Any:
        return json.loads((self.folder / "seen.json").read_text())[key]

    @property
    def kernel(self) -> Kernel:
        return Kernel(self.folder.parent)

    @property
    def x86(self) -> bool:
        return bool(self.kernel["machine"] == "x86_64")

    @property
    def plugged(self) -> bool:
        return self.folder.name.endswith("-plugged")

    @property
    def unplugged(self) -> bool:
        return self.folder.name.endswith("-unplugged")

    @property
    def updated(self) -> bool:
        """Whether the kernel reports that it updates it."""
        return bool(self["crash_hotplug"] == ["1", "1"])

    def part(self, name: str) -> bytes:
        return (self.folder / f"{name}.bin").read_bytes()

    def kimage(self) -> KImage:
        kernel = self.kernel
        return parse_kimage(self.part("kimage"), parse_structs(kernel.btf), kernel.byteorder)

    def kcore(self, elfcorehdr: bytes | None = None) -> Kcore:
        """The guest's /proc/kcore, as far as it was read, or with another elfcorehdr."""
        reads = {
            int(at, 16): (self.folder / data).read_bytes() if data.endswith(".bin") else bytes.fromhex(data)
            for at, data in self["kcore"].items()
        }
        if elfcorehdr is not None:
            [at] = [int(at, 16) for at, data in self["kcore"].items() if data == "elfcorehdr.bin"]
            reads[at] = elfcorehdr

        def pread(size: int, offset: int) -> bytes:
            if offset not in reads:  # the boot parameters, which nobody asked for when this was recorded
                raise OSError(errno.EFAULT, "not recorded")
            return reads[offset][:size]

        return parse_kcore(pread)

    def pages(self, ranges: Ranges) -> Ranges:
        """Those of ranges that have a whole page."""
        return tuple(r for r in ranges if r.size >= self.kernel["page_size"])

    def lines(self, name: str) -> Ranges:
        """The ranges of that name in /proc/iomem."""
        found = re.findall(f"^ *([0-9a-f]+)-([0-9a-f]+) : {name}$", self["files"]["proc/iomem"], re.M)
        return tuple(Range(int(start, 16), int(end, 16)) for start, end in found)

    def reserved(self) -> Ranges:
        """What crashk_res says; struct resource begins with start and end."""
        [address] = re.findall(r"^(\w+) \w crashk_res$", self.kernel["kallsyms"], re.M)
        data, byteorder = self.kcore().read_virtual(int(address, 16), 16), self.kernel.byteorder
        return (Range(int.from_bytes(data[:8], byteorder), int.from_bytes(data[8:], byteorder)),)

    def rtas(self) -> Ranges:
        """The pages of RTAS, a part of PowerPC's firmware that was put into RAM at boot."""
        if self.kernel["machine"] != "ppc64le":
            return ()
        tree = self.part("fdt")
        start, size = cell(tree, b"linux,rtas-base"), cell(tree, b"rtas-size")
        return (Range(start, (start + size - 1) | (self.kernel["page_size"] - 1)),)

    def online(self) -> IdSet:
        return IdSet.parse(self["files"][f"{CPUS}/online"])

    def write(self, root: Path) -> None:
        """Make files of what the guest had in /proc and /sys."""
        texts = {"proc/kallsyms": self.kernel["kallsyms"], **self["files"]}
        files = {path: text.encode() for path, text in texts.items()} | {"sys/kernel/btf/vmlinux": self.kernel.btf}
        for path, data in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)


def cell(tree: bytes, name: bytes) -> int:
    """The value of a property of four bytes, the first of that name in a flattened device tree."""
    strings = int.from_bytes(tree[12:16], "big")
    head = struct.pack(">III", fdt.PROP, 4, tree.index(b"\0" + name + b"\0", strings) + 1 - strings)
    at = tree.index(head) + len(head)
    return int.from_bytes(tree[at : at + 4], "big")


CPUS = "sys/devices/system/cpu"
KERNELS = [Kernel(path) for path in sorted(RECORDED.glob("*"))]
ALL = [Load(path) for kernel in KERNELS for path in sorted(kernel.folder.iterdir()) if path.is_dir()]
OF_KERNELS = pytest.mark.parametrize("kernel", KERNELS, ids=str)
OF_LOADS = pytest.mark.parametrize("load", ALL, ids=str)


def test_everything_is_there() -> None:
    found = {
        f"{kernel['machine']} {'.'.join(kernel['release'].split('.')[:2])}": {
            load.folder.name for load in ALL if load.kernel == kernel
        }
        for kernel in KERNELS
    }
    assert found == {kernel: {way + step for way in ways for step in STEPS} for kernel, ways in WAYS.items()}


@OF_KERNELS
def test_btf_has_the_layout_recorded(kernel: Kernel) -> None:
    read = json.loads(json.dumps({name: asdict(layout) for name, layout in parse_structs(kernel.btf).items()}))
    if "elfcorehdr_updated" not in kernel["structs"]["kimage"]["fields"]:
        read["kimage"]["fields"].pop("elfcorehdr_updated", None)  # recorded before anybody asked for it
    assert read == kernel["structs"]


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_a_reduced_btf_has_the_layout_of_the_whole(byteorder: ByteOrder) -> None:
    whole = builder.btf(byteorder)
    reduced = reduce_btf(whole, MEMBERS)
    assert len(reduced) < len(whole)
    assert parse_structs(reduced) == parse_structs(whole)


@OF_LOADS
def test_kimage_agrees_with_what_kexec_did_and_the_kernel_says(load: Load) -> None:
    kimage = load.kimage()
    assert kimage.file_mode == ("-s" in load["options"])
    if load["crash_hotplug"] == ["absent", "absent"]:
        assert not kimage.hotplug_bits
    assert kimage.updatable == load.updated
    if not kimage.file_mode:
        assert [(s.mem, s.memsz, s.bufsz) for s in kimage.segments] == [
            (s["mem"], s["memsz"], s["bufsz"]) for s in load["segments"]
        ]


@OF_LOADS
def test_elfcorehdr_covers_system_ram_and_cpus_unless_hotplug_passed_it_by(load: Load) -> None:
    """Exactly System RAM without the reservation, whatever of the first MiB, and RTAS although it may be reserved.

    Loaders treat the first MiB differently. PowerPC's and its kernel list RTAS (get_crash_memory_ranges()).
    """
    elfcorehdr = parse_elfcorehdr(load.part("elfcorehdr"))
    dimm = (Range(*load["dimm"]),) if load.plugged or load.unplugged else ()
    missing = dimm if load.plugged and not load.updated else ()
    # When memory goes, x86 leaves it in.
    gone = dimm if load.unplugged and load.updated and load.x86 else ()
    # A CPU that is not there yet has no crash_notes on x86; on PowerPC it has. QEMU can't plug one on arm64.
    passed_by = dimm and not load.updated and load["cpu"] is not None
    new = {load["cpu"]} if passed_by and load.x86 else set()

    ram = subtract(load.lines(r"System RAM(?: \(virtio_mem\))?"), load.reserved())
    assert load.pages(subtract(ram, elfcorehdr.loads, (FIRST_MIB,))) == missing
    assert load.pages(subtract(elfcorehdr.loads, ram, load.rtas(), (FIRST_MIB,))) == gone
    assert all(overlaps(union(elfcorehdr.loads), extent) for extent in load.rtas())

    notes = {n: int(load["files"][f"{CPUS}/cpu{n}/crash_notes"], 16) for n in load.online()}
    assert {n for n, note in notes.items() if note not in elfcorehdr.notes} == new
    vmcoreinfo, _ = load["files"]["sys/kernel/vmcoreinfo"].split()
    assert int(vmcoreinfo, 16) in elfcorehdr.notes
    assert load["verdict"]["state"] == ("stale" if missing or gone or passed_by else "current")


@OF_LOADS
def test_fdt_has_the_cpus_online_unless_hotplug_passed_it_by(load: Load) -> None:
    physical = {n: load["files"].get(f"{CPUS}/cpu{n}/physical_id") for n in load.online()}
    if None in physical.values():
        assert load.x86 or not parse_fdt(load.part("fdt")).cpus
        return
    tree = parse_fdt(load.part("fdt"))
    new = {load["cpu"]} if (load.plugged or load.unplugged) and not load.updated else set()
    assert {n for n, hw_id in physical.items() if int(hw_id or "") not in tree.hw_ids} == new


def examined(
    load: Load, root: Path, monkeypatch: pytest.MonkeyPatch, elfcorehdr: bytes | None = None
) -> tuple[Image | None, Verdict]:
    """Examine it again on what was read there, from /proc/kallsyms to the verdict, or with another elfcorehdr."""

    @contextmanager
    def open_kcore(_: Path) -> Iterator[Kcore]:
        yield load.kcore(elfcorehdr)

    load.write(root)
    monkeypatch.setattr(reader, "open_kcore", open_kcore)
    monkeypatch.setattr("kdumphpd.image.machine.os.sysconf", {"SC_PAGE_SIZE": load.kernel["page_size"]}.__getitem__)
    return examine(root, sleep=lambda _: None)


@OF_LOADS
def test_the_verdict_is_the_one_given_there(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, verdict = examined(load, tmp_path, monkeypatch)
    later = {"unsafe": "", "unreserved": 0, "backup_lost": False, "checksum_broken": False, "left_out": []}
    assert json.loads(json.dumps(verdict.to_dict())) == load["verdict"] | later
    assert image
    assert image.kimage == load.kimage()
    assert image.elfcorehdr == parse_elfcorehdr(load.part("elfcorehdr"))
    if load.kernel["machine"] != "ppc64le":  # which does not list it
        assert image.reservation == load.lines("Crash kernel")


@pytest.mark.parametrize("name", ["btf", "kimage", "elfcorehdr", "fdt"])
@OF_KERNELS
@settings(max_examples=100, deadline=None, database=None)
@given(data=st.data())
def test_real_bytes_gone_bad_give_parse_error_and_nothing_else(
    kernel: Kernel, name: str, data: st.DataObject
) -> None:
    structs = parse_structs(kernel.btf)
    parsers: dict[str, Callable[[bytes], object]] = {
        "btf": parse_structs,
        "kimage": lambda mutated: parse_kimage(mutated, structs, kernel.byteorder),
        "elfcorehdr": parse_elfcorehdr,
        "fdt": parse_fdt,
    }
    seeds = [path.read_bytes() for path in sorted(kernel.folder.rglob(f"{name}.bin"))]
    if seeds:  # x86 has no FDT
        feed(parsers[name], data.draw(mutations(seeds)))
