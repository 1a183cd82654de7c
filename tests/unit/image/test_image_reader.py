# SPDX-License-Identifier: GPL-2.0-or-later
"""From a /proc and /sys of files to a verdict."""

from dataclasses import replace
from pathlib import Path

import pytest

from kdumphpd.image.elf import ByteOrder
from kdumphpd.image.errors import Cause, UnreadableError
from kdumphpd.image.examine import examine
from kdumphpd.image.machine import read_machine
from kdumphpd.image.ranges import Range
from kdumphpd.image.reader import inspect
from kdumphpd.image.verdict import ImageState, Verdict
from tests.unit.image import builder, fdts
from tests.unit.image.builder import DIMM, GIB, MIB, Kernel, no_sleep


@pytest.mark.parametrize("byteorder", ["little", "big"])
@pytest.mark.parametrize("paddr_known", [True, False])
def test_a_loaded_image_is_read_and_current(tmp_path: Path, byteorder: ByteOrder, paddr_known: bool) -> None:
    kernel = Kernel(tmp_path, byteorder, flags=("hotplug_support",), paddr_known=paddr_known)
    if byteorder == "big":
        kernel.tree = fdts.tree_of(0, 1)
    kernel.write()
    image, verdict = examine(tmp_path, sleep=no_sleep)
    assert verdict.state is ImageState.CURRENT, verdict.sentence()
    assert image is not None
    assert image.elfcorehdr is not None
    assert image.kimage.hotplug_bits == {"hotplug_support": True}
    assert not image.kimage.file_mode
    assert image.reservation == (Range(*builder.RESERVED),)
    assert image.elfcorehdr.notes == kernel.notes
    assert (image.fdt is not None) == (byteorder == "big")


def test_the_first_use_of_an_added_cpu_would_not_boot_without_it_in_the_fdt(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, "big", tree=fdts.tree_of(0, 1), cpus=(0, 1, 2), notes=(0x3000, 0x3200, 0x3400, 0x9000))
    _, verdict = examine(kernel.write().root, sleep=no_sleep)
    assert (verdict.state, verdict.cpus_not_in_fdt) == (ImageState.STALE, (2,))
    kernel.tree = fdts.tree_of(0, 1, 2)
    assert examine(kernel.write().root, sleep=no_sleep)[1].state is ImageState.CURRENT


def test_added_memory_counts_from_when_it_is_online(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.ram += (DIMM,)
    kernel.offline = tuple(range(32, 40))
    assert examine(kernel.write().root, sleep=no_sleep)[1].state is ImageState.CURRENT
    kernel.offline = ()
    assert examine(kernel.write().root, sleep=no_sleep)[1].missing == (Range(*DIMM),)


def test_only_blocks_that_the_image_lacks_are_asked_for_their_state(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, offline=(3,))
    kernel.write()
    assert read_machine(tmp_path).offline == (Range(3 * 128 * MIB, 4 * 128 * MIB - 1),)
    assert read_machine(tmp_path, described=(Range(0, 2 * GIB),)).offline == ()


def test_a_reservation_in_cma_is_read_from_the_kernel(tmp_path: Path) -> None:
    cma = (0x4000_0000, 0x4FFF_FFFF)
    kernel = Kernel(tmp_path, cma=(cma,))
    kernel.loads = (kernel.loads[0], (kernel.loads[1][0], cma[0] - 1), (cma[1] + 1, kernel.loads[1][1]))
    image, verdict = examine(kernel.write().root, sleep=no_sleep)
    assert image is not None
    assert Range(*cma) in image.reservation
    assert verdict.state is ImageState.CURRENT


# Nothing loaded, or only for an instant


def test_no_image(tmp_path: Path) -> None:
    assert examine(Kernel(tmp_path, loaded=False).write().root, sleep=no_sleep)[1].state is ImageState.NO_IMAGE
    assert examine(tmp_path / "a kernel without kexec", sleep=no_sleep)[1].state is ImageState.NO_IMAGE


def test_no_image_is_said_where_memory_cannot_be_read(tmp_path: Path) -> None:
    Kernel(tmp_path, loaded=False).write()
    (tmp_path / "proc/kcore").unlink()
    assert inspect(tmp_path, sleep=no_sleep) is None


def test_an_image_that_is_away_during_an_update_is_waited_for(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, pointer=False).write()
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            kernel.pointer = True
            kernel.write()

    assert inspect(tmp_path, sleep=sleep) is not None
    assert len(pauses) == 3


def test_a_null_pointer_where_the_kernel_says_that_an_image_is_loaded_is_a_contradiction(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError) as caught:
        inspect(Kernel(tmp_path, pointer=False).write().root, sleep=no_sleep)
    assert caught.value.reason is Cause.CONTRADICTION


def test_a_null_pointer_is_no_image_once_the_kernel_says_so_too(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, pointer=False).write()

    def unload(_: float) -> None:
        replace(kernel, loaded=False).write()

    assert inspect(kernel.root, sleep=unload) is None


def test_segments_that_read_as_zeros_are_hidden_and_not_wrong(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path).write()
    data = (tmp_path / "proc/kcore").read_bytes()
    elf = data.index(b"\x7fELF", 64)
    hidden = data[:elf] + bytes(len(data) - elf)
    (tmp_path / "proc/kcore").write_bytes(hidden)
    with pytest.raises(UnreadableError) as caught:
        inspect(kernel.root, sleep=no_sleep)
    assert caught.value.reason is Cause.HIDDEN


def test_on_s390x_it_does_not_matter_what_the_kernel_hides(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, "big").write()
    data = bytearray((tmp_path / "proc/kcore").read_bytes())
    data[18:20] = (22).to_bytes(2, "big")  # e_machine
    elf = data.index(b"\x7fELF", 64)
    (tmp_path / "proc/kcore").write_bytes(data[:elf] + bytes(len(data) - elf))
    assert examine(kernel.root, sleep=no_sleep)[1].state is ImageState.CURRENT


def test_fadump_has_no_image_and_that_is_no_contradiction(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, loaded=False, pointer=False).write()
    (tmp_path / "sys/kernel/fadump").mkdir()
    for name in ("enabled", "registered"):
        (tmp_path / "sys/kernel/fadump" / name).write_text("1\n")
    assert examine(kernel.root, sleep=no_sleep) == (None, Verdict(ImageState.NO_IMAGE))
    (tmp_path / "sys/kernel/btf/vmlinux").unlink()  # nothing of an image need be readable for that
    assert examine(kernel.root, sleep=no_sleep) == (None, Verdict(ImageState.NO_IMAGE))


def test_the_random_seed_of_a_file_load_makes_for_another_identity(tmp_path: Path) -> None:
    """struct kimage and its buffers may lie where the last ones were."""
    identities = set()
    for seed in (b"1" * 32, b"2" * 32):
        kernel = Kernel(tmp_path, flags=("file_mode",))
        kernel.boot_params = builder.boot_params("root=/dev/vda") + seed
        image = inspect(kernel.write().root, sleep=no_sleep)
        assert image is not None
        identities.add(image.identity)
    assert len(identities) == 2


def test_the_capture_kernels_command_line_is_read_from_x86_boot_parameters(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.boot_params = builder.boot_params("root=/dev/vda nr_cpus=1")
    image = inspect(kernel.write().root, sleep=no_sleep)
    assert image is not None
    assert image.command_line == "root=/dev/vda nr_cpus=1"


def test_another_load_has_another_identity_and_an_update_has_not(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, segments=((builder.KERNEL_AT, MIB, 100), (builder.ELF_AT, MIB, 1024))).write()
    first = inspect(kernel.root, sleep=no_sleep)
    kernel.loads += (DIMM,)
    updated = inspect(kernel.write().root, sleep=no_sleep)
    kernel.flags = ("file_mode",)
    other = inspect(kernel.write().root, sleep=no_sleep)
    assert first is not None
    assert updated is not None
    assert other is not None
    assert first.identity == updated.identity != other.identity
