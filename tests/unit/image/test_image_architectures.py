# SPDX-License-Identifier: GPL-2.0-or-later
"""What is particular to a kernel or an architecture: what is covered by a checksum, left out, or not asked for."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from kdumphpd.image import examine
from kdumphpd.image.elf import ByteOrder
from kdumphpd.image.iomem import DeviceMemory
from kdumphpd.image.kimage import Segment
from kdumphpd.image.purgatory import covers
from kdumphpd.image.ranges import Range
from kdumphpd.image.reader import Image, inspect
from kdumphpd.image.verdict import ImageState, judge
from tests.unit.image import builder
from tests.unit.image.builder import MIB, Kernel, no_sleep
from tests.unit.image.machines import DIMM, IMAGE, LOADS, LOW, MACHINE, with_loads

GPU = DeviceMemory("System RAM (NVIDIA)", DIMM)
PURGATORY_AT = builder.KERNEL_AT


# Memory of devices


def test_memory_of_a_device_may_be_in_the_image_or_not() -> None:
    machine = replace(MACHINE, devices=(GPU,))
    without = judge(IMAGE, machine)
    assert without.state is ImageState.CURRENT
    assert without.sentence().endswith(
        "; left out as memory of a device: System RAM (NVIDIA), 0x100000000-0x13fffffff (1 GiB)"
    )
    assert judge(with_loads(*LOADS, DIMM), machine).left_out == ()
    assert judge(with_loads(*LOADS, DIMM), machine).state is ImageState.CURRENT


def test_memory_of_a_device_that_has_gone_is_gone() -> None:
    assert judge(with_loads(*LOADS, DIMM), MACHINE).gone == (DIMM,)


def test_memory_that_is_missing_beside_a_device_s_is_missing() -> None:
    beside = Range(DIMM.end + 1, DIMM.end + MIB)
    verdict = judge(IMAGE, replace(MACHINE, ram=(*LOW, beside), devices=(GPU,)))
    assert verdict.missing == (beside,)


# Purgatory's checksum


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_a_checksum_covers_the_segments_whose_address_and_size_are_listed(byteorder: ByteOrder) -> None:
    regions = struct.pack("<4Q" if byteorder == "little" else ">4Q", 0x1000, 0x2000, 0x8000, 0x400)
    assert covers(b"code" + regions, Segment(0x8000, 0x400, 9), byteorder)
    assert not covers(b"code" + regions, Segment(0x8000, 0x401, 9), byteorder)
    assert not covers(b"code" + regions[:-1], Segment(0x8000, 0x400, 9), byteorder)


def loaded(root: Path, *listed: int, flags: tuple[str, ...]) -> Image:
    kernel = Kernel(root, flags=flags, boot_params=b"purgatory" + struct.pack(f"<{len(listed)}Q", *listed))
    image = inspect(kernel.write().root, sleep=no_sleep)
    assert image
    return image


def test_an_image_whose_checksum_covers_the_elfcorehdr_is_not_one_that_the_kernel_updates(tmp_path: Path) -> None:
    """Linux 6.10 up to a fix in its stable releases took it in; the first update makes the image worthless."""
    covered = loaded(tmp_path, builder.ELF_AT, MIB, flags=("file_mode",))
    assert covered.kimage.updatable
    assert covered.checksummed
    assert not covered.updatable
    assert not covered.broken
    free = loaded(tmp_path, builder.KERNEL_AT, MIB, flags=("file_mode",))
    assert free.updatable


def test_an_image_that_the_kernel_leaves_alone_is_covered_as_it_should_be(tmp_path: Path) -> None:
    assert not loaded(tmp_path, builder.ELF_AT, MIB, flags=()).broken


def test_an_update_of_what_the_checksum_covers_makes_the_image_stale() -> None:
    updated = replace(IMAGE, checksummed=True, kimage=replace(IMAGE.kimage, elfcorehdr_updated=True))
    verdict = judge(updated, MACHINE)
    assert verdict.state is ImageState.STALE
    assert "no capture kernel would start" in verdict.sentence()
    assert verdict.shares_a_fault(verdict)
    assert judge(replace(IMAGE, checksummed=True), MACHINE).state is ImageState.CURRENT


# s390x


def test_an_architecture_that_describes_itself_is_known_by_its_name() -> None:
    assert examine.builds_its_elfcorehdr("s390x")
    assert not examine.builds_its_elfcorehdr("ppc64le")


@pytest.mark.parametrize("unreadable", ["proc/kallsyms", "sys/kernel/btf/vmlinux", "proc/kcore"])
def test_there_is_nothing_to_reload_for_where_an_image_that_describes_nothing_cant_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unreadable: str
) -> None:
    kernel = Kernel(tmp_path, "big").write()
    (tmp_path / unreadable).unlink()
    assert examine.examine(kernel.root, sleep=no_sleep)[1].state is ImageState.UNREADABLE
    monkeypatch.setattr(examine, "builds_its_elfcorehdr", lambda _: True)
    verdict = examine.examine(kernel.root, sleep=no_sleep)[1]
    assert verdict.state is ImageState.CURRENT
    assert "builds the elfcorehdr itself" in verdict.sentence()
