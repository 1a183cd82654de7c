# SPDX-License-Identifier: GPL-2.0-or-later
"""From a /proc and /sys of files to a verdict, with an image that moves while it is read."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from kdumphpd.image import examine as examine_module
from kdumphpd.image import reader
from kdumphpd.image.elf import ByteOrder
from kdumphpd.image.errors import Cause, UnreadableError
from kdumphpd.image.examine import examine
from kdumphpd.image.kcore import Kcore, open_kcore
from kdumphpd.image.layout import Layout
from kdumphpd.image.machine import read_machine
from kdumphpd.image.ranges import Range
from kdumphpd.image.reader import inspect
from kdumphpd.image.verdict import ImageState, Verdict
from tests.unit.image import builder
from tests.unit.image.builder import GIB, MIB, Kernel

DIMM = (4 * GIB, 5 * GIB - 1)


def no_sleep(_: float) -> None:
    pass


def tree_of(*cores: int) -> bytes:
    return builder.flatten(builder.device_tree([builder.cpu_node(n) for n in cores]), slack=8450)


@pytest.mark.parametrize("byteorder", ["little", "big"])
@pytest.mark.parametrize("paddr_known", [True, False])
def test_a_loaded_image_is_read_and_current(tmp_path: Path, byteorder: ByteOrder, paddr_known: bool) -> None:
    kernel = Kernel(tmp_path, byteorder, flags=("hotplug_support",), paddr_known=paddr_known)
    if byteorder == "big":
        kernel.tree = tree_of(0, 1)
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
    kernel = Kernel(tmp_path, "big", tree=tree_of(0, 1), cpus=(0, 1, 2), notes=(0x3000, 0x3200, 0x3400, 0x9000))
    _, verdict = examine(kernel.write().root, sleep=no_sleep)
    assert (verdict.state, verdict.cpus_not_in_fdt) == (ImageState.STALE, (2,))
    kernel.tree = tree_of(0, 1, 2)
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


# An image that moves. The hook runs between the two looks that have to agree.


@pytest.fixture
def between_looks(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Callable[[], object]]], None]:
    def install(hooks: list[Callable[[], object]]) -> None:
        look = reader.snapshot
        looks = 0

        def hooked(memory: Kcore, layout: Layout) -> reader.Snapshot | None:
            nonlocal looks
            looks += 1
            if looks % 2 == 0 and hooks:
                hooks.pop(0)()
            return look(memory, layout)

        @contextmanager
        def reopened(root: Path) -> Iterator[Kcore]:
            # A file that is written anew is another file; the real one is always the same memory.
            with open_kcore(root) as kcore:
                yield replace(kcore, pread=lambda n, at: (root / "proc/kcore").read_bytes()[at : at + n])

        monkeypatch.setattr(reader, "snapshot", hooked)
        monkeypatch.setattr(reader, "open_kcore", reopened)

    return install


def test_an_update_between_two_looks_is_noticed_and_the_updated_image_returned(
    tmp_path: Path, between_looks: Callable[[list[Callable[[], object]]], None]
) -> None:
    kernel = Kernel(tmp_path).write()

    def update() -> None:
        kernel.ram += (DIMM,)
        kernel.loads += (DIMM,)
        kernel.write()

    between_looks([update])
    image = inspect(tmp_path, sleep=no_sleep)
    assert image is not None
    assert image.elfcorehdr is not None
    assert Range(*DIMM) in image.elfcorehdr.loads


def test_an_image_unloaded_between_two_looks_is_none(
    tmp_path: Path, between_looks: Callable[[list[Callable[[], object]]], None]
) -> None:
    kernel = Kernel(tmp_path).write()
    between_looks([replace(kernel, pointer=False, loaded=False).write])
    assert inspect(tmp_path, sleep=no_sleep) is None


def test_an_image_that_never_stands_still_is_unreadable_not_misread(
    tmp_path: Path, between_looks: Callable[[list[Callable[[], object]]], None]
) -> None:
    kernel = Kernel(tmp_path).write()
    between_looks([replace(kernel, notes=(0x3000 + n,)).write for n in range(reader.ATTEMPTS)])
    with pytest.raises(UnreadableError) as caught:
        inspect(tmp_path, sleep=no_sleep)
    assert caught.value.reason is Cause.INCONSISTENT


@pytest.mark.parametrize(
    "segments",
    [
        ((0x9000_0000, MIB, 100),),  # outside of the reservation
        ((builder.RESERVED[0] - 4096, MIB, 100),),  # only partly inside
        ((builder.ELF_AT, 1 << 63, 100),),
    ],
)
def test_segments_that_the_kernel_would_have_refused_are_not_believed(
    tmp_path: Path, segments: tuple[tuple[int, int, int], ...]
) -> None:
    Kernel(tmp_path, segments=segments).write()
    with pytest.raises(UnreadableError) as caught:
        inspect(tmp_path, sleep=no_sleep)
    assert caught.value.reason is Cause.INCONSISTENT


def test_memory_that_came_online_between_image_and_machine_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(tmp_path).write()
    machines = 0

    def racing(root: Path, described: tuple[Range, ...] = ()) -> object:
        nonlocal machines
        machines += 1
        if machines == 1:
            kernel.ram += (DIMM,)
            kernel.loads += (DIMM,)
            kernel.write()
        return read_machine(root, described)

    monkeypatch.setattr(examine_module, "read_machine", racing)
    assert examine(tmp_path, sleep=no_sleep)[1].state is ImageState.CURRENT


# Where it cannot be read, the reason is named


def reason_of(root: Path) -> Cause | None:
    image, verdict = examine(root, sleep=no_sleep)
    assert verdict.state is ImageState.UNREADABLE
    assert verdict.detail
    assert image is None or verdict.reason is not Cause.NO_KCORE
    return verdict.reason


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("proc/kallsyms", Cause.NO_KALLSYMS),
        ("sys/kernel/btf/vmlinux", Cause.NO_BTF),
        ("proc/kcore", Cause.NO_KCORE),
        ("proc/iomem", Cause.NO_SYSFS),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, path: str, reason: Cause) -> None:
    Kernel(tmp_path).write()
    (tmp_path / path).unlink()
    assert reason_of(tmp_path) is reason


def test_a_kernel_without_all_symbols_is_named(tmp_path: Path) -> None:
    Kernel(tmp_path).write()
    (tmp_path / "proc/kallsyms").write_text("ffffffff81000000 T _text\n")
    assert reason_of(tmp_path) is Cause.NO_SYMBOL


@pytest.mark.parametrize(
    ("lockdown", "reason"),
    [("none integrity [confidentiality]\n", Cause.LOCKDOWN), ("[none] integrity\n", Cause.NO_PERMISSION)],
)
def test_lockdown_is_told_from_a_missing_privilege(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lockdown: str, reason: Cause
) -> None:
    Kernel(tmp_path).write()
    (tmp_path / "sys/kernel/security").mkdir(parents=True)
    (tmp_path / "sys/kernel/security/lockdown").write_text(lockdown)
    really_open = Path.open

    def refused(path: Path, *args: object, **kwargs: object) -> object:
        if path.name == "kcore":
            raise PermissionError(1, os.strerror(1), str(path))
        return really_open(path, *args, **kwargs)  # type: ignore[call-overload]  # handed through as it came

    monkeypatch.setattr(Path, "open", refused)
    assert reason_of(tmp_path) is reason


def test_a_32_bit_kernel_is_refused_by_name(tmp_path: Path) -> None:
    Kernel(tmp_path).write()
    data = bytearray((tmp_path / "proc/kcore").read_bytes())
    data[4] = 1
    (tmp_path / "proc/kcore").write_bytes(data)
    assert reason_of(tmp_path) is Cause.NO_KCORE


def test_a_damaged_fdt_is_unreadable_rather_than_current(tmp_path: Path) -> None:
    tree = bytearray(tree_of(0, 1))
    tree[56:60] = b"junk"  # the first token of the structure
    Kernel(tmp_path, "big", tree=bytes(tree)).write()
    assert reason_of(tmp_path) is Cause.UNKNOWN_FORMAT


def test_an_image_without_an_elfcorehdr_can_still_be_shown(tmp_path: Path) -> None:
    Kernel(tmp_path, segments=((builder.KERNEL_AT, MIB, 100),)).write()
    image, verdict = examine(tmp_path, sleep=no_sleep)
    assert image is not None
    assert verdict.reason is Cause.NO_ELFCOREHDR


# The cache


def test_the_layout_is_cached_for_root_alone_and_used_in_the_same_boot(tmp_path: Path) -> None:
    Kernel(tmp_path).write()
    cache = tmp_path / "layout.json"
    first = inspect(tmp_path, cache, no_sleep)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o600
    (tmp_path / "proc/kallsyms").unlink()
    (tmp_path / "sys/kernel/btf/vmlinux").unlink()
    assert first is not None
    assert inspect(tmp_path, cache, no_sleep) == first


def test_a_cache_of_another_boot_is_not_used(tmp_path: Path) -> None:
    Kernel(tmp_path).write()
    cache = tmp_path / "layout.json"
    inspect(tmp_path, cache, no_sleep)
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text("another\n")
    (tmp_path / "proc/kallsyms").unlink()
    with pytest.raises(UnreadableError):
        inspect(tmp_path, cache, no_sleep)


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", '{"boot_id": 1}', "\x00"])
def test_a_cache_that_does_not_parse_is_ignored_and_replaced(tmp_path: Path, content: str) -> None:
    Kernel(tmp_path).write()
    cache = tmp_path / "layout.json"
    cache.write_text(content)
    assert inspect(tmp_path, cache, no_sleep) is not None
    assert json.loads(cache.read_text())["symbols"]["kexec_crash_image"]


@pytest.mark.parametrize("part", ["symbols", "structs"])
def test_a_cache_of_this_boot_that_lacks_a_part_is_ignored(tmp_path: Path, part: str) -> None:
    Kernel(tmp_path).write()
    cache = tmp_path / "layout.json"
    inspect(tmp_path, cache, no_sleep)
    content = json.loads(cache.read_text())
    content[part] = {}
    cache.write_text(json.dumps(content))
    assert inspect(tmp_path, cache, no_sleep) is not None


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    assert inspect(Kernel(tmp_path).write().root, tmp_path / "missing/layout.json", no_sleep) is not None
