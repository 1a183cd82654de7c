# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether ACPI adds memory here, and whose memory is whose."""

import struct
from pathlib import Path

import pytest

from kdumphpd.image.fingerprint import Fingerprint, read_fingerprint
from kdumphpd.image.iomem import DeviceMemory, parse_iomem
from kdumphpd.image.machine import memory_hotplug, read_machine
from kdumphpd.image.ranges import Range
from kdumphpd.image.srat import parse_srat
from tests.unit.image.builder import GIB, MIB, Kernel

HOT_PLUGGABLE, FIXED = 3, 1


def srat(*entries: tuple[int, int, int]) -> bytes:
    """Return a table of memory by (start, size, flags)."""
    body = b"".join(
        struct.pack("<BBIHQQIIQ", 1, 40, 0, 0, start, size, 0, flags, 0) for start, size, flags in entries
    )
    return struct.pack("<4sI40x", b"SRAT", 48 + len(body)) + body


def acpi(root: Path, *, device: bool = False, table: bytes = b"", able: bool | None = None) -> Path:
    devices = root / "sys/bus/acpi/devices"
    if device:
        (devices / "PNP0C80:00").mkdir(parents=True)
    if table:
        (root / "sys/firmware/acpi/tables").mkdir(parents=True)
        (root / "sys/firmware/acpi/tables/SRAT").write_bytes(table)
    if able is not None:
        (root / "sys/firmware/acpi/hotplug" / ("memory" if able else "processor")).mkdir(parents=True)
    return root


def test_a_memory_device_of_acpi_is_memory_hotplug(tmp_path: Path) -> None:
    assert not memory_hotplug(tmp_path)
    assert memory_hotplug(acpi(tmp_path, device=True))


@pytest.mark.parametrize(("flags", "found"), [(HOT_PLUGGABLE, True), (FIXED, False)])
def test_without_a_list_of_devices_the_srat_tells(tmp_path: Path, flags: int, *, found: bool) -> None:
    """What /sys/bus/acpi/devices does not say, be it absent or unreadable, the firmware's table does."""
    assert memory_hotplug(acpi(tmp_path, table=srat((0, GIB, FIXED), (4 * GIB, GIB, flags)))) is found


@pytest.mark.parametrize("able", [True, False])
def test_a_kernel_without_the_driver_brings_nothing_online(tmp_path: Path, *, able: bool) -> None:
    """As Debian's for arm64: the firmware offers memory that the kernel does not see."""
    assert memory_hotplug(acpi(tmp_path, device=True, table=srat((0, GIB, HOT_PLUGGABLE)), able=able)) is able


def test_an_srat_lists_what_is_enabled_and_hot_pluggable() -> None:
    assert parse_srat(srat((0, GIB, FIXED), (4 * GIB, GIB, 3), (6 * GIB, GIB, 2))) == (Range(4 * GIB, 5 * GIB - 1),)


IOMEM = """\
00100000-7fffffff : System RAM
100000000-13fffffff : System RAM (NVIDIA)
140000000-17fffffff : System RAM (virtio_mem)
  180000000-1bfffffff : System RAM (kmem)
1c0000000-1cfffffff : System RAM (a \r\x85 name)
"""


def test_memory_of_a_device_is_told_from_memory_that_a_driver_adds_to_the_machine() -> None:
    found = parse_iomem(IOMEM)
    assert found.ram == (Range(MIB, 2 * GIB - 1), Range(0x1_4000_0000, 0x1_BFFF_FFFF))
    assert found.devices == (
        DeviceMemory("System RAM (NVIDIA)", Range(0x1_0000_0000, 0x1_3FFF_FFFF)),
        DeviceMemory("System RAM (a \r\x85 name)", Range(0x1_C000_0000, 0x1_CFFF_FFFF)),
    )


def node(root: Path, name: str, compatible: bytes, reg: bytes) -> None:
    folder = root / "proc/device-tree" / name
    folder.mkdir(parents=True)
    (folder / "compatible").write_bytes(compatible)
    (folder / "reg").write_bytes(reg)


def test_coherent_memory_of_powerpc_is_a_device_s_although_iomem_does_not_say_so(tmp_path: Path) -> None:
    gpu = (4 * GIB, 5 * GIB - 1)
    kernel = Kernel(tmp_path, "big", ram=((MIB, 2 * GIB - 1), gpu)).write()
    present = tmp_path / "sys/devices/system/cpu/present"
    present.write_text("0-1\n")
    assert read_machine(kernel.root).ram == (Range(MIB, 2 * GIB - 1), Range(*gpu))
    node(kernel.root, "memory@100000000", b"ibm,coherent-device-memory\0", struct.pack(">QQ", 4 * GIB, GIB))
    node(kernel.root, "memory@0", b"memory\0", struct.pack(">QQ", 0, 2 * GIB))
    node(kernel.root, "memory@9", b"ibm,coherent-device-memory\0", b"\xff" * 19)
    machine = read_machine(kernel.root)
    assert machine.ram == (Range(MIB, 2 * GIB - 1),)
    assert machine.devices == (DeviceMemory("ibm,coherent-device-memory", Range(*gpu)),)
    assert read_fingerprint(kernel.root) == Fingerprint((Range(MIB, 2 * GIB - 1),), "0-1")
