# SPDX-License-Identifier: GPL-2.0-or-later
"""Real bytes for the unit tests: `python -m tests.vm.record [GUEST...]` writes tests/fixtures/image/recorded.

Each guest loads its image in every way that it can; a CPU (where QEMU can plug one) and memory come, and the memory
goes again. What is kept:

    RELEASE/btf.bin          BTF of the structures that the image is read with
    RELEASE/kernel.json      their layout by the whole BTF, and the symbols
    RELEASE/LOAD/*.bin       struct kimage, the elfcorehdr and, where there is one, the FDT; struct kimage alone where
                             the kernel hides the rest
    RELEASE/LOAD/seen.json   what the guest says for itself, the files that a machine is known by, and whatever
                             else of /proc/kcore was read

The reader runs here, on a /proc/kcore that is read over the agent, so that tests can read the same again.
"""

import argparse
import base64
import gzip
import json
import re
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kdumphpd.ids import IdSet
from kdumphpd.image import btf, fdt, reader
from kdumphpd.image.errors import UnreadableError
from kdumphpd.image.kcore import Kcore, Pread, parse_kcore
from kdumphpd.image.layout import CMA_COUNT, CMA_RANGES, IMAGE, MEMBERS, RESERVATIONS, kernel_layout, parse_structs
from tests.vm import kdump, payload, snapshot
from tests.vm.guests import GUESTS, Guest
from tests.vm.payload import CHECKOUT, Payload
from tests.vm.qemu import Machine

RECORDED = CHECKOUT / "tests/fixtures/image/recorded"

# One that the guest's kexec or kernel does not know is left out; test_recorded.py says which that may be.
WAYS = (("-s",), ("-c",), ("-c", "--hotplug"))
DIMM_MIB = 1024

SYMBOLS = (IMAGE, *RESERVATIONS, CMA_COUNT, CMA_RANGES)
FILES = (
    "proc/iomem",
    *("sys/kernel/kexec_crash_loaded", "sys/kernel/kexec/crash_loaded", "sys/kernel/kexec/crash_cma_ranges"),
    "sys/kernel/vmcoreinfo",
    *("sys/devices/system/cpu/online", "sys/devices/system/cpu/cpu[0-9]*/crash_notes"),
    "sys/devices/system/cpu/cpu[0-9]*/physical_id",
    *("sys/devices/system/memory/block_size_bytes", "sys/devices/system/memory/memory[0-9]*/state"),
)

CPUS = "/sys/devices/system/cpu"
BLOCKS = "ls -d /sys/devices/system/memory/memory[0-9]* | wc -l"


def main() -> int:
    """Record the guests asked for, or all; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.vm.record", description="Record fixtures from guests.")
    parser.add_argument("guest", nargs="*", choices=[*GUESTS, []], default=[])
    names = parser.parse_args().guest or GUESTS
    with tempfile.TemporaryDirectory(prefix="kdumphpd-vm-") as directory:
        workdir = Path(directory)
        software = payload.build(workdir)
        for name in names:
            began = time.monotonic()
            folder = record(GUESTS[name], software, workdir)
            print(f"{name}: {folder} ({time.monotonic() - began:.0f} s)")
    return 0


def record(guest: Guest, software: Payload, workdir: Path) -> Path:
    """Replace what is recorded of a guest's kernel; returns the folder."""
    frozen = payload.installed(snapshot.booted(guest), software)
    draft = workdir / guest.name
    draft.mkdir()
    for options in WAYS:
        with frozen.restored(workdir, software.disk) as machine:
            machine.run("systemctl stop kdumphpd.service")  # what follows is done to the image by hand
            if not (draft / "kernel.json").exists():
                record_kernel(machine, draft)
            record_way(machine, options, draft)
    release: str = json.loads((draft / "kernel.json").read_text())["release"]
    folder = RECORDED / release
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(draft, folder)
    return folder


def record_kernel(machine: Machine, folder: Path) -> None:
    """Write btf.bin and kernel.json."""
    packed = machine.run("gzip -1 < /sys/kernel/btf/vmlinux | base64 -w 0", 120).stdout
    whole = gzip.decompress(base64.b64decode(packed))
    reduced = reduce_btf(whole, MEMBERS)
    (folder / "btf.bin").write_bytes(reduced)
    content = {
        "release": machine.run("uname -r").stdout.strip(),
        "machine": machine.run("uname -m").stdout.strip(),
        "page_size": int(machine.run("getconf PAGE_SIZE").stdout),
        "kallsyms": machine.run(f"grep -wE '{'|'.join(SYMBOLS)}' /proc/kallsyms").stdout,
        "structs": {name: asdict(layout) for name, layout in parse_structs(whole).items()},
    }
    _write_json(folder / "kernel.json", content)


def record_way(machine: Machine, options: tuple[str, ...], folder: Path) -> None:
    """Load the image in one way and record it, after a CPU and a DIMM came too, and after the DIMM has gone."""
    way = "".join(options).replace("--", "-").removeprefix("-")
    command = f"eval \"$(sed 's/ -p / -p {' '.join(options)} -d /' /var/crash/kexec_cmd)\""
    done = machine.run(command, 180, check=False)
    if done.returncode:
        print(f"{machine.guest.name}: kexec {' '.join(options)} ends with exit code {done.returncode}")
        return
    seen: dict[str, Any] = {
        "options": options,
        # Only kexec_load tells: "segment[0].mem   = 0x2f000000".
        "segments": _segments(done.stdout + done.stderr),
    }
    record_image(machine, seen, folder / way)

    machine.run("echo online_movable > /sys/devices/system/memory/auto_online_blocks")
    blocks = int(machine.run(BLOCKS).stdout)
    block = int(machine.read_file("/sys/devices/system/memory/block_size_bytes"), 16)
    cpu = _add_cpu(machine) if machine.guest.arch.adds_cpus else None
    dimm = machine.add_memory(DIMM_MIB)
    machine.wait_until(f'[ "$({BLOCKS})" = {blocks + (DIMM_MIB << 20) // block} ]')
    kdump.online_memory(machine)
    machine.run("udevadm settle")
    [extent] = kdump.dimms(machine)
    seen |= {"cpu": cpu, "dimm": extent}
    record_image(machine, seen, folder / f"{way}-plugged")

    machine.remove_memory(dimm)
    machine.run("udevadm settle")
    record_image(machine, seen, folder / f"{way}-unplugged")


def _add_cpu(machine: Machine) -> int:
    before = machine.read_file(f"{CPUS}/present").strip()
    machine.add_cpu()
    machine.wait_until(f'[ "$(cat {CPUS}/present)" != {before} ]')
    [cpu] = set(IdSet.parse(machine.read_file(f"{CPUS}/present"))) - set(IdSet.parse(before))
    machine.wait_until(f'[ "$(cat {CPUS}/cpu{cpu}/online)" = 1 ] || echo 1 > {CPUS}/cpu{cpu}/online')
    return cpu


def record_image(machine: Machine, seen: dict[str, Any], folder: Path) -> None:
    """Write the image that is loaded now, and seen with all else that there is to see."""
    folder.mkdir()
    reads: dict[int, bytes] = {}
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        kernel = json.loads((folder.parent / "kernel.json").read_text())
        for path, data in {
            "proc/kallsyms": kernel["kallsyms"].encode(),
            "sys/kernel/btf/vmlinux": (folder.parent / "btf.bin").read_bytes(),
        }.items():
            (root / path).parent.mkdir(parents=True)
            (root / path).write_bytes(data)
        layout = kernel_layout(root)
    memory = parse_kcore(_pread(machine, reads))
    pointer = int.from_bytes(memory.read_virtual(layout.symbols[IMAGE], 8), memory.header.byteorder)
    assert pointer, "no image is loaded"
    parts = {"kimage.bin": memory.read_virtual(pointer, layout.structs["kimage"].size)}
    try:
        look = reader.snapshot(memory, layout)
    except UnreadableError as error:
        print(f"{machine.guest.name}: {error}")
    else:
        assert look, "no image is loaded"
        parts |= _contents(memory, look)
    names = {data: name for name, data in parts.items()}
    for data, name in names.items():
        (folder / name).write_bytes(data)
    found = machine.run(f"cd /; grep -sH '' {' '.join(FILES)}", check=False).stdout
    files: dict[str, str] = {}
    for path, line in (line.split(":", 1) for line in found.splitlines()):
        files[path] = f"{files.get(path, '')}{line}\n"
    content = seen | {
        "crash_hotplug": kdump.crash_hotplug(machine),
        "verdict": kdump.inspect(machine)["verdict"],
        "files": files,
        "kcore": {f"{at:#x}": names.get(data, data.hex()) for at, data in sorted(reads.items())},
    }
    _write_json(folder / "seen.json", content)


def _contents(memory: Kcore, image: reader.Image) -> dict[str, bytes]:
    """Return the elfcorehdr and the FDT of an image, as far as it has them."""
    parts = {}
    if image.elfcorehdr and image.elfcorehdr_segment:
        parts["elfcorehdr.bin"] = memory.read_physical(image.elfcorehdr_segment.mem, image.elfcorehdr.size)
    for segment in image.kimage.segments:
        if image.fdt and memory.read_physical(segment.mem, len(fdt.MAGIC)) == fdt.MAGIC:
            parts["fdt.bin"] = memory.read_physical(segment.mem, image.fdt.totalsize)
    return parts


def reduce_btf(data: bytes, names: Iterable[str]) -> bytes:
    """Return a BTF file of the structures of those names and of what lies inside of them; pointers are to void."""
    prefix = "<" if data[0] == btf.MAGIC & 0xFF else ">"
    header_size, types_at, types_size, strings_at, _ = struct.unpack_from(f"{prefix}5I", data, 4)
    words = struct.unpack_from(f"{prefix}{types_size // 4}I", data, header_size + types_at)
    types: list[list[int]] = [[]]  # by id; 0 is void
    at = 0
    while at < len(words):
        kind, length = words[at + 1] >> 24 & 0x1F, words[at + 1] & 0xFFFF
        end = at + 3 + btf.FIXED_WORDS[kind] + btf.MEMBER_WORDS[kind] * length
        types.append(list(words[at:end]))
        at = end

    def text(offset: int) -> bytes:
        start = header_size + strings_at + offset
        return data[start : data.index(b"\0", start) + 1]

    wanted = {name.encode() + b"\0" for name in names}
    kept = [i for i, t in enumerate(types) if i and _kind(t) == btf.STRUCT and text(t[0]) in wanted]
    for number in kept:  # grows on the way
        kept += {types[number][at] for at in _type_words(types[number])} - {0, *kept}
    renumbered = {0: 0} | {old: new for new, old in enumerate(sorted(kept), 1)}
    strings = {b"\0": 0}
    size = 1
    out: list[int] = []
    for number in sorted(kept):
        record = types[number]
        if _kind(record) == btf.PTR:
            record[2] = 0
        for at in _type_words(record):
            record[at] = renumbered[record[at]]
        for at in _name_words(record):
            name = text(record[at])
            if name not in strings:
                strings[name] = size
                size += len(name)
            record[at] = strings[name]
        out += record
    header = struct.pack(f"{prefix}HBBIIIII", btf.MAGIC, 1, 0, btf.HEADER_SIZE, 0, len(out) * 4, len(out) * 4, size)
    return header + struct.pack(f"{prefix}{len(out)}I", *out) + b"".join(strings)


def _kind(record: list[int]) -> int:
    return record[1] >> 24 & 0x1F


def _type_words(record: list[int]) -> Iterable[int]:
    """Where in a type's words the numbers of other types stand, but for what a pointer points to."""
    kind = _kind(record)
    if kind in btf.ALIASES:
        return (2,)
    if kind == btf.ARRAY:
        return (3, 4)
    return range(4, len(record), 3) if kind in (btf.STRUCT, btf.UNION) else ()


def _name_words(record: list[int]) -> Iterable[int]:
    """Where in a type's words the offsets of names stand: its own, and those of members and enumerators."""
    kind = _kind(record)
    members = range(3, len(record), btf.MEMBER_WORDS[kind]) if btf.MEMBER_WORDS[kind] else ()
    return (0, *members)


def _pread(machine: Machine, reads: dict[int, bytes]) -> Pread:
    """Return the guest's /proc/kcore to read from, which keeps in reads what it gave, by offset."""

    def pread(size: int, offset: int) -> bytes:
        source = f"if=/proc/kcore iflag=skip_bytes,count_bytes,fullblock bs=1M skip={offset} count={size}"
        data = base64.b64decode(machine.run(f"dd status=none {source} | base64 -w 0").stdout)
        if len(data) > len(reads.get(offset, b"")):
            reads[offset] = data
        return data

    return pread


def _segments(output: str) -> list[dict[str, int]]:
    """Return what `kexec -d` says of the segments, by member of struct kexec_segment."""
    segments: dict[str, dict[str, int]] = {}
    for number, member, value in re.findall(r"^segment\[(\d+)\]\.(\w+) += (0x[0-9a-f]+)$", output, re.M):
        segments.setdefault(number, {})[member] = int(value, 16)
    return list(segments.values())


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
