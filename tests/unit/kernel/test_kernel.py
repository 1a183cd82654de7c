# SPDX-License-Identifier: GPL-2.0-or-later
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kdumphpd.kernel import loaded
from kdumphpd.kernel.crash_hotplug import (
    SECOND_READ_PAUSE,
    Answer,
    Capability,
    confirm,
    mainline_rule,
    powerpc_series_rule,
    read_capability,
)
from kdumphpd.kernel.fadump import Fadump, read_fadump
from kdumphpd.kernel.loaded import RECHECKS, crash_loaded, elfcorehdr_is_sized, image_loaded, reservation
from kdumphpd.sysfs import MAX_ATTRIBUTE, block_size, read_attribute, read_flag
from tests.unit.trees import CPU_HOTPLUG, CRASH_LOADED, MEMORY_HOTPLUG, OLD_CRASH_LOADED, kernel, opened, put


def never(_: float) -> None:
    pytest.fail("there was nothing to wait for")


def then(change: Callable[[], None]) -> Callable[[float], None]:
    """A sleep during which something happens, the first time."""
    changes = [change]

    def sleep(_: float) -> None:
        if changes:
            changes.pop()()

    return sleep


# --- the four answers -------------------------------------------------------------------------------------


def test_one_means_that_the_kernel_updates_the_image(tmp_path: Path) -> None:
    capability = read_capability(kernel(tmp_path), sleep=never)
    assert capability == Capability(loaded=True, cpu=Answer.YES, memory=Answer.YES)
    assert capability.updates


def test_a_kernel_without_the_attribute_never_updates_an_image(tmp_path: Path) -> None:
    capability = read_capability(kernel(tmp_path, cpu=None, memory=None), sleep=never)
    assert (capability.cpu, capability.memory) == (Answer.UNSUPPORTED, Answer.UNSUPPORTED)
    assert not capability.updates


def test_a_zero_that_stays_means_an_image_that_the_kernel_may_not_touch(tmp_path: Path) -> None:
    waited: list[float] = []
    root = kernel(tmp_path, cpu="0\n", memory="0\n")
    capability = confirm(root, read_capability(root, sleep=never), waited.append)
    assert (capability.loaded, capability.cpu, capability.memory) == (True, Answer.NO, Answer.NO)
    assert waited == [SECOND_READ_PAUSE]


def test_what_is_neither_zero_nor_one_is_unreadable_and_quoted(tmp_path: Path, said: list[str]) -> None:
    capability = read_capability(kernel(tmp_path, cpu="perhaps\n"), sleep=never)
    assert capability.cpu is Answer.UNREADABLE
    assert capability.memory is Answer.YES
    assert "/sys/devices/system/cpu/crash_hotplug holds 'perhaps'" in said[0]


def test_an_attribute_that_cannot_be_opened_is_unreadable_with_the_systems_words(
    tmp_path: Path, said: list[str]
) -> None:
    kernel(tmp_path, memory=None)
    (tmp_path / MEMORY_HOTPLUG).mkdir(parents=True)
    capability = read_capability(tmp_path, sleep=never)
    assert capability.memory is Answer.UNREADABLE
    assert os.strerror(21) in said[0]


def test_cpu_and_memory_are_treated_apart(tmp_path: Path) -> None:
    # The original PowerPC series had the CPU attribute alone.
    capability = read_capability(kernel(tmp_path, memory=None), sleep=never)
    assert (capability.cpu, capability.memory) == (Answer.YES, Answer.UNSUPPORTED)
    assert not capability.updates


# --- the ambiguity of 0 -----------------------------------------------------------------------------------


def test_a_zero_from_a_busy_lock_is_read_once_more_and_becomes_one(tmp_path: Path) -> None:
    kernel(tmp_path, cpu="0\n", memory="1\n")
    first = read_capability(tmp_path, sleep=never)
    capability = confirm(tmp_path, first, then(lambda: put(tmp_path, {CPU_HOTPLUG: "1\n"})))
    assert capability.updates


def test_a_clear_answer_is_read_once(tmp_path: Path) -> None:
    kernel(tmp_path)
    with opened(tmp_path) as paths:
        confirm(tmp_path, read_capability(tmp_path, sleep=never), never)
    assert (paths.count(CPU_HOTPLUG), paths.count(MEMORY_HOTPLUG)) == (1, 1)


def test_while_cpus_or_memory_still_change_nothing_that_takes_the_kexec_lock_is_read(tmp_path: Path) -> None:
    kernel(tmp_path)
    with opened(tmp_path) as paths:
        capability = read_capability(tmp_path, settled=False, sleep=never)
    assert CPU_HOTPLUG not in paths
    assert MEMORY_HOTPLUG not in paths
    assert (capability.loaded, capability.cpu) == (True, Answer.UNREADABLE)


def test_without_an_image_the_attributes_that_take_the_kexec_lock_are_not_read(tmp_path: Path) -> None:
    kernel(tmp_path, loaded="0\n", cpu="0\n", memory="0\n")
    with opened(tmp_path) as paths:
        capability = read_capability(tmp_path, sleep=lambda _: None)
    assert not capability.loaded
    assert CPU_HOTPLUG not in paths
    assert MEMORY_HOTPLUG not in paths


def test_where_loaded_cannot_be_told_that_is_the_answer(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="crash_loaded holds"):
        read_capability(kernel(tmp_path, loaded="?\n"), sleep=never)


# --- is an image loaded? ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [CRASH_LOADED, OLD_CRASH_LOADED])
def test_loaded_is_read_from_the_new_place_and_from_the_old(tmp_path: Path, path: str) -> None:
    put(tmp_path, {path: "1\n"})
    assert image_loaded(tmp_path, never)


def test_the_new_place_is_believed_where_both_exist(tmp_path: Path) -> None:
    put(tmp_path, {CRASH_LOADED: "1\n", OLD_CRASH_LOADED: "0\n"})
    assert crash_loaded(tmp_path) is True


def test_a_kernel_without_kexec_has_no_image(tmp_path: Path) -> None:
    assert crash_loaded(tmp_path) is None
    assert not image_loaded(tmp_path, never)


def test_an_image_that_is_out_of_sight_for_an_instant_is_loaded(tmp_path: Path) -> None:
    kernel(tmp_path, loaded="0\n")
    assert image_loaded(tmp_path, then(lambda: put(tmp_path, {CRASH_LOADED: "1\n"})))


def test_a_zero_that_stays_is_no_image(tmp_path: Path) -> None:
    kernel(tmp_path, loaded="0\n")
    with opened(tmp_path) as paths:
        assert not image_loaded(tmp_path, lambda _: None)
    assert paths.count(CRASH_LOADED) == RECHECKS


@pytest.mark.parametrize("path", ["sys/kernel/kexec/crash_elfcorehdr_size", "sys/kernel/crash_elfcorehdr_size"])
def test_the_room_for_an_elfcorehdr_is_known_from_either_place(tmp_path: Path, path: str) -> None:
    assert not elfcorehdr_is_sized(tmp_path)
    put(tmp_path, {path: "1048576\n"})
    assert elfcorehdr_is_sized(tmp_path)


@pytest.mark.parametrize("path", ["sys/kernel/kexec/crash_size", "sys/kernel/kexec_crash_size"])
def test_the_size_of_the_reservation_is_known_from_either_place(tmp_path: Path, path: str) -> None:
    assert reservation(tmp_path) is None
    put(tmp_path, {path: "268435456\n"})
    assert reservation(tmp_path) == 256 << 20


def test_the_size_of_the_reservation_is_not_known_where_it_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, {"sys/kernel/kexec/crash_size": "much\n"})
    assert reservation(tmp_path) is None

    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(loaded, "read_attribute", busy)
    assert reservation(tmp_path) is None


# --- by which rule the kernel decides ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file_mode", "update_elfcorehdr", "update_fdt", "updated"),
    [
        (True, False, False, True),
        (True, True, True, True),
        (False, True, True, True),
        (False, True, False, False),
        (False, False, True, False),
        (False, False, False, False),
    ],
)
def test_the_powerpc_series_asks_for_the_file_syscall_or_both_permissions(
    *, file_mode: bool, update_elfcorehdr: bool, update_fdt: bool, updated: bool
) -> None:
    rule = powerpc_series_rule(file_mode=file_mode, update_elfcorehdr=update_elfcorehdr, update_fdt=update_fdt)
    assert rule is updated


def test_mainline_asks_for_the_file_syscall_or_the_one_flag() -> None:
    answers = {(f, h): mainline_rule(file_mode=f, hotplug_support=h) for f in (False, True) for h in (False, True)}
    assert answers == {(False, False): False, (False, True): True, (True, False): True, (True, True): True}


# --- fadump -----------------------------------------------------------------------------------------------


def test_a_machine_without_fadump_has_none_of_it(tmp_path: Path) -> None:
    assert read_fadump(tmp_path) == Fadump(enabled=False, registered=False, hotplug_ready=False)


def test_hotplug_ready_means_nothing_where_fadump_is_not_enabled(tmp_path: Path) -> None:
    put(tmp_path, {"sys/kernel/fadump/enabled": "0\n", "sys/kernel/fadump/hotplug_ready": "1\n"})
    assert not read_fadump(tmp_path).hotplug_ready


def test_enabled_registered_and_ready_are_read_from_the_new_places(tmp_path: Path) -> None:
    put(tmp_path, {f"sys/kernel/fadump/{name}": "1\n" for name in ("enabled", "registered", "hotplug_ready")})
    assert read_fadump(tmp_path) == Fadump(enabled=True, registered=True, hotplug_ready=True)


def test_an_older_kernels_fadump_has_to_be_registered_again(tmp_path: Path) -> None:
    put(tmp_path, {"sys/kernel/fadump_enabled": "1\n", "sys/kernel/fadump_registered": "1\n"})
    assert read_fadump(tmp_path) == Fadump(enabled=True, registered=True, hotplug_ready=False)


# --- small files ------------------------------------------------------------------------------------------


def test_the_size_of_a_block_is_hexadecimal_without_a_prefix(tmp_path: Path) -> None:
    put(tmp_path, {"sys/devices/system/memory/block_size_bytes": "8000000\n"})
    assert block_size(tmp_path) == 128 << 20


@pytest.mark.parametrize("text", ["", "\n", "big\n"])
def test_a_size_that_cannot_be_read_is_not_known(tmp_path: Path, text: str) -> None:
    assert block_size(tmp_path) is None
    put(tmp_path, {"sys/devices/system/memory/block_size_bytes": text})
    assert block_size(tmp_path) is None


def test_an_attribute_is_read_to_its_limit_and_no_further(tmp_path: Path) -> None:
    put(tmp_path, {"sys/large": "x" * (MAX_ATTRIBUTE + 10)})
    text = read_attribute(tmp_path, "sys/large")
    assert text is not None
    assert len(text) == MAX_ATTRIBUTE


def test_an_attribute_below_a_file_is_absent(tmp_path: Path) -> None:
    put(tmp_path, {"sys/kernel": "a file"})
    assert read_attribute(tmp_path, "sys/kernel/kexec_crash_loaded") is None
    assert read_flag(tmp_path, "sys/kernel/a", "sys/kernel/b") is None
