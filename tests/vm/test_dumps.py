# SPDX-License-Identifier: GPL-2.0-or-later
"""The last proof is a dump: what a capture kernel really wrote has the memory that was hot-added."""

from pathlib import Path

import pytest

from tests.vm import dumps, kdump
from tests.vm.dumps import PAGES
from tests.vm.qemu import Machine
from tests.vm.results import Result

# User pages come from movable memory first, and such a DIMM can be removed.
MOVABLE = "echo online_movable > /sys/devices/system/memory/auto_online_blocks"


def plug(machine: Machine) -> str:
    """A DIMM of 512 MiB, in use; QEMU's name of it."""
    machine.run(MOVABLE)
    blocks = len(kdump.dimms(machine)) * 4 + 8
    name = machine.add_memory(512)
    machine.wait_until(f"[ $(grep -lx online {kdump.BLOCKS}/state | wc -l) = {blocks + 4} ]")
    return name


def dump_with(machine: Machine, result: Result, folder: Path) -> None:
    before = kdump.seen(machine)
    plug(machine)
    after = kdump.wait_current(machine, before, events=8)
    kdump.record(result, before, after, load="kdump-tools")
    count_marks(machine, result, folder)


def count_marks(machine: Machine, result: Result, folder: Path, cpu: int = 0, expected: int = PAGES) -> None:
    """Mark pages of the last DIMM, panic, and see whether the dump has `expected` of them."""
    _, marks = dumps.mark(machine)
    found = dumps.crash_and_count(machine, marks, folder, cpu)
    result.verdict = f"{found} of {PAGES} marked pages of the DIMM are in the dump"
    assert found == expected


@pytest.mark.guests("debian13")
def test_dump_memory(machine: Machine, result: Result, tmp_path: Path) -> None:
    """A DIMM is hot-added, the machine panics: every marked page of it is in the dump."""
    dump_with(machine, result, tmp_path)


@pytest.mark.long
@pytest.mark.guests("debian12", "debian13-backports")
def test_dump_memory_on_other_kernels(machine: Machine, result: Result, tmp_path: Path) -> None:
    """The same on the others."""
    dump_with(machine, result, tmp_path)


@pytest.mark.long
@pytest.mark.guests("debian13-ppc64el")
def test_dump_memory_powerpc(machine: Machine, result: Result, tmp_path: Path) -> None:
    """The same on PowerPC, where pages have 64 KiB."""
    machine.run(MOVABLE)
    before = kdump.seen(machine)
    kdump.grow(machine, 512)
    after = kdump.wait_current(machine, before, events=4)
    kdump.record(result, before, after, load="kdump-tools")
    count_marks(machine, result, tmp_path)


@pytest.mark.long
@pytest.mark.guests("debian13")
def test_dump_memory_baseline(bare: Machine, result: Result, tmp_path: Path) -> None:
    """Without kdumphpd, with an image that the kernel has updated: the capture kernel has overwritten them all."""
    bare.run(kdump.load_command("-s", append=""), timeout=120)
    plug(bare)
    assert kdump.crash_hotplug(bare) == ("1", "1")
    result.load = "-s"
    count_marks(bare, result, tmp_path, expected=0)


@pytest.mark.long
@pytest.mark.guests("debian13")
def test_dump_coldplugged(machine: Machine, result: Result, tmp_path: Path) -> None:
    """A DIMM was there at boot, as hypervisors give memory; nothing is plugged, only kdumphpd started."""
    machine.reboot(dimms=(512,))
    machine.run("systemctl is-system-running --wait", timeout=300, check=False)
    after = kdump.wait_checked(machine)
    assert after.events == 0
    result.load = "kdump-tools"
    count_marks(machine, result, tmp_path)


@pytest.mark.long
@pytest.mark.guests("debian13")
def test_dump_removed(machine: Machine, result: Result, tmp_path: Path) -> None:
    """Of two DIMMs one is removed again, and the machine panics on a CPU that was hot-added."""
    before = kdump.seen(machine)
    plug(machine)
    machine.remove_memory(plug(machine))
    kdump.plug_cpu(machine)
    after = kdump.wait_current(machine, before, events=26)
    kdump.record(result, before, after, load="kdump-tools")
    count_marks(machine, result, tmp_path, cpu=1)
