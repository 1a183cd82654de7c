# SPDX-License-Identifier: GPL-2.0-or-later
"""Marks in a guest's memory, and whether a dump that its capture kernel saved still has them.

What reads the dump is drgn, and what takes it off the guest's disk are e2fsprogs: nothing of ours.
"""

import subprocess
from pathlib import Path

from drgn import FaultError, Program

from tests.vm import kdump
from tests.vm.agent import Job
from tests.vm.qemu import Machine

PAGES = 64
TEXT = b"kdumphpd mark %06d "

# User pages with a text of their own in each, and their physical addresses. Movable memory has them first of all.
MARKER = r"""
import ctypes, mmap, pathlib, struct, sys, time
first, last = (int(word, 0) for word in sys.argv[1:])
libc = ctypes.CDLL(None, use_errno=True)
held, found = [], []
size = mmap.PAGESIZE
while len(found) < 64 and len(held) < 4096:
    page = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # shared would be page cache
    page.write((b"kdumphpd mark %06d " % len(held) * 4096)[:size])
    libc.mlock(ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(page))), size)
    at = ctypes.addressof(ctypes.c_char.from_buffer(page))
    with open("/proc/self/pagemap", "rb") as pagemap:
        pagemap.seek(at // size * 8)
        entry, = struct.unpack("Q", pagemap.read(8))
    physical = (entry & ((1 << 55) - 1)) * size
    if first <= physical <= last:
        found.append(f"{physical} {len(held)}")
    held.append(page)
pathlib.Path("/run/marks").write_text("\n".join(found) + "\n")
time.sleep(86400)
"""

# makedumpfile leaves user pages out with 31. PowerPC's compressed pages libkdumpfile can't read, ELF it can.
KEEP_USER_PAGES = "echo 'MAKEDUMP_ARGS=\"{format} -d 23\"' >> /etc/default/kdump-tools; sync"
FORMATS = {"ppc64el": "-E"}


def mark(machine: Machine) -> tuple[Job, dict[int, bytes]]:
    """Mark PAGES pages in the DIMM that was plugged last; their content by physical address."""
    *_, (first, last) = kdump.dimms(machine)
    machine.write_file("/usr/local/lib/marker.py", MARKER)
    job = machine.start(f"exec python3 /usr/local/lib/marker.py {first} {last}")
    machine.wait_until("test -s /run/marks", timeout=120)
    lines = [line.split() for line in machine.read_file("/run/marks").splitlines()]
    marks = {int(physical): TEXT % int(number) for physical, number in lines}
    assert len(marks) == PAGES, "the kernel gave no memory of the DIMM"
    return job, marks


def crash_and_count(machine: Machine, marks: dict[int, bytes], workdir: Path, cpu: int = 0) -> int:
    """Panic on a CPU, have the dump saved, and count the marked pages that it has."""
    machine.run(KEEP_USER_PAGES.format(format=FORMATS.get(machine.guest.arch.debian, "-c")))
    console = machine.crash(cpu=cpu)
    assert "saved vmcore in /var/crash/" in console, console[-3000:]
    program = Program()
    program.set_core_dump(take_dump(machine, workdir))
    return sum(_has(program, address, text) for address, text in marks.items())


def _has(program: Program, address: int, text: bytes) -> bool:
    try:
        return bytes(program.read(address, len(text), physical=True)) == text
    except FaultError as error:
        if "Excluded page" not in str(error):  # then nothing is known of the page
            raise
        return False


def take_dump(machine: Machine, workdir: Path) -> Path:
    """The dump on the disk of a machine that has ended, as a file here."""
    disk, flat, dump = workdir / "crashed.raw", workdir / "flat", workdir / "dump"
    _run("qemu-img", "convert", "-O", "raw", str(machine.disk), str(disk))
    # It was rebooted without ado: what is in the journal goes to its place.
    subprocess.run(["e2fsck", "-f", "-y", str(disk)], capture_output=True, check=False)
    (folder,) = _names(disk, "/var/crash", "20")
    (name,) = _names(disk, f"/var/crash/{folder}", "dump.")
    _run("debugfs", "-R", f"dump /var/crash/{folder}/{name} {flat}", str(disk))
    disk.unlink()
    with flat.open("rb") as file:
        subprocess.run(["makedumpfile", "-R", str(dump)], stdin=file, capture_output=True, check=True)
    flat.unlink()
    return dump


def _names(disk: Path, folder: str, prefix: str) -> list[str]:
    """What is in a folder and begins so. `ls -p` is /inode/mode/uid/gid/name/size/."""
    listing = _run("debugfs", "-R", f"ls -p {folder}", str(disk))
    names = [line.split("/")[5] for line in listing.splitlines() if line.count("/") >= 6]
    return [name for name in names if name.startswith(prefix)]


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
