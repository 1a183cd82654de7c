# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults of kernels and of kexec-tools, on what a real kernel had in memory."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from kdumphpd.image import elf
from kdumphpd.image.verdict import ImageState, judge
from tests.unit.image.machines import MACHINE
from tests.unit.image.test_recorded import ALL, Load, examined

[HOTPLUG, PLUGGED] = [
    load
    for load in ALL
    if load.kernel["machine"] == "ppc64le" and load.folder.name in ("c-hotplug", "c-hotplug-plugged")
]


def without_backup(elfcorehdr: bytes) -> bytes:
    """Return it with a p_offset of 0 in the first PT_LOAD at physical address 0, as 6.10 and later wrote it."""
    data = bytearray(elfcorehdr)
    header = elf.parse_header(elfcorehdr)
    for at in range(header.phoff, header.phoff + header.phnum * elf.PHDR_SIZE, elf.PHDR_SIZE):
        kind, _, offset, _, paddr = struct.unpack_from("<IIQQQ", data, at)
        if (kind, paddr) == (elf.PT_LOAD, 0):
            assert offset
            struct.pack_into("<Q", data, at + 8, 0)
            return bytes(data)
    raise AssertionError("no PT_LOAD at 0")


def test_kexec_reserves_what_it_has_loaded_of_an_elfcorehdr_that_the_kernel_may_fill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, verdict = examined(HOTPLUG, tmp_path, monkeypatch)
    assert image
    assert image.elfcorehdr
    assert image.elfcorehdr_segment
    segment = image.elfcorehdr_segment
    assert verdict.state is ImageState.CURRENT
    assert sum(r.size for r in image.unreserved) == segment.memsz - segment.bufsz > 0
    assert image.kimage.updatable
    assert not image.updatable
    entries = (segment.bufsz - elf.EHDR_SIZE) // elf.PHDR_SIZE
    assert entries == 17
    full = elf.EHDR_SIZE + entries * elf.PHDR_SIZE
    for size, unreserved in ((full, 0), (full + elf.PHDR_SIZE, full + elf.PHDR_SIZE - segment.bufsz)):
        grown = replace(image, elfcorehdr=replace(image.elfcorehdr, size=size))
        assert judge(grown, MACHINE).unreserved == unreserved


def test_an_update_that_loses_the_backup_of_the_first_memory_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, verdict = examined(PLUGGED, tmp_path, monkeypatch)
    assert verdict.state is ImageState.CURRENT
    _, lost = examined(PLUGGED, tmp_path, monkeypatch, without_backup(PLUGGED.part("elfcorehdr")))
    assert (lost.state, lost.backup_lost) == (ImageState.STALE, True)


@pytest.mark.parametrize("load", [load for load in ALL if load.kernel["machine"] == "aarch64"], ids=str)
def test_arm64_has_its_cpus_elsewhere_and_no_reservation_to_be_looked_for(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, _ = examined(load, tmp_path, monkeypatch)
    assert image
    assert image.fdt
    assert (image.fdt.cpus, image.fdt.room, image.unreserved) == ((), None, ())
    assert not image.kimage.hotplug_bits
    assert image.command_line
