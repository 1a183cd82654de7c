# SPDX-License-Identifier: GPL-2.0-or-later
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kdumphpd.reload import initrd, preflight
from kdumphpd.reload.content import Content
from kdumphpd.reload.preflight import check
from kdumphpd.reload.run import LoadFailed, NotReady
from tests.unit.reload.archives import packed
from tests.unit.reload.test_kernel_file import bzimage

MIB = 1 << 20
KERNEL, INITRD = Path("/boot/vmlinuz"), Path("/var/lib/kdump/initrd.img")
NEED = 62 * MIB  # the kernel's init_size, one MiB that goes with it, and the initrd to whole pages


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with a kernel and an initrd that can be loaded."""
    for path, data in ((KERNEL, bzimage(8192, 60 * MIB)), (INITRD, packed("zstd", 1000))):
        file = tmp_path / str(path).lstrip("/")
        file.parent.mkdir(parents=True)
        file.write_bytes(data)
    return tmp_path


def at(root: Path, path: Path) -> Path:
    return root / str(path).lstrip("/")


def meanwhile(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Somebody does that while the initrd is looked at."""
    real = initrd.check

    def check_and_change(content: Content) -> None:
        change()
        real(content)

    monkeypatch.setattr(initrd, "check", check_and_change)


# --- what can be loaded -----------------------------------------------------------------------------------


def test_a_kernel_and_an_initrd_that_are_whole_pass(root: Path) -> None:
    check(root, KERNEL, INITRD, None)
    check(root, KERNEL, None, None)
    check(root, KERNEL, INITRD, NEED)


def test_the_files_may_be_named_by_links(root: Path) -> None:
    at(root, Path("/boot/vmlinuz-latest")).symlink_to("vmlinuz")
    check(root, Path("/boot/vmlinuz-latest"), INITRD, None)


def test_what_can_be_read_to_its_end_has_been(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with at(root, INITRD).open("ab") as file:
        file.write(bytes(5 * MIB + 1))
    read: list[tuple[int, int]] = []
    pread = os.pread

    def recorded(fd: int, size: int, offset: int) -> bytes:
        data = pread(fd, size, offset)
        if os.fstat(fd).st_size > 5 * MIB:
            read.append((offset, offset + len(data)))
        return data

    monkeypatch.setattr(os, "pread", recorded)
    check(root, KERNEL, INITRD, None)
    end = 0
    for start, stop in read:  # in order, the first time
        if start == end:
            end = stop
    assert end == at(root, INITRD).stat().st_size


# --- what can't -------------------------------------------------------------------------------------------


def test_not_ready_is_a_failed_load() -> None:
    assert issubclass(NotReady, LoadFailed)


@pytest.mark.parametrize("path", [KERNEL, INITRD])
def test_a_file_that_is_missing_is_named_with_the_systems_words(root: Path, path: Path) -> None:
    at(root, path).unlink()
    with pytest.raises(NotReady, match=rf"cannot read the \w+ {path}: No such file or directory; (re|install)"):
        check(root, KERNEL, INITRD, None)


def test_a_link_to_nowhere_is_a_missing_file(root: Path) -> None:
    at(root, INITRD).unlink()
    at(root, INITRD).symlink_to("initrd.img-6.1")
    with pytest.raises(NotReady, match="No such file or directory"):
        check(root, KERNEL, INITRD, None)


def test_an_empty_file_is_cut_short(root: Path) -> None:
    at(root, INITRD).write_bytes(b"")
    with pytest.raises(NotReady, match=f"the initrd {INITRD} is empty: it was cut short, or is still being written"):
        check(root, KERNEL, INITRD, None)


def test_a_folder_or_a_fifo_is_no_file_and_nothing_to_wait_for(root: Path) -> None:
    with pytest.raises(NotReady, match="the kernel /boot is not a regular file: install it again"):
        check(root, KERNEL.parent, INITRD, None)
    at(root, INITRD).unlink()
    os.mkfifo(at(root, INITRD))
    with pytest.raises(NotReady, match=f"the initrd {INITRD} is not a regular file: rebuild it"):
        check(root, KERNEL, INITRD, None)


def test_more_than_kexec_reads_is_not_even_read(root: Path) -> None:
    os.truncate(at(root, INITRD), preflight.MAX_FILE + 1)
    with pytest.raises(NotReady, match=f"has {preflight.MAX_FILE + 1} bytes, and kexec reads {preflight.MAX_FILE}"):
        check(root, KERNEL, INITRD, None)


def test_an_initrd_that_is_cut_short_is_to_be_rebuilt(root: Path) -> None:
    os.truncate(at(root, INITRD), 1000)
    with pytest.raises(NotReady, match=r"initrd.img ends after 1000 bytes, inside of the zstd .* rebuild it$"):
        check(root, KERNEL, INITRD, None)


def test_a_kernel_that_is_cut_short_is_to_be_installed_again(root: Path) -> None:
    os.truncate(at(root, KERNEL), 9000)
    with pytest.raises(NotReady, match=r"vmlinuz ends after 9000 bytes, and by its header .* install it again$"):
        check(root, KERNEL, INITRD, None)


def test_an_initrd_that_is_none_is_to_be_rebuilt(root: Path) -> None:
    at(root, INITRD).write_text("No space left on device\n")
    with pytest.raises(NotReady, match=r"does not begin as any initrd that a kernel knows .*: rebuild it$"):
        check(root, KERNEL, INITRD, None)


# --- what is being written --------------------------------------------------------------------------------


def test_a_file_that_grows_meanwhile_is_being_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, lambda: os.truncate(at(root, INITRD), 5000))
    with pytest.raises(NotReady, match=f"the initrd {INITRD} is being written: it is looked at again later"):
        check(root, KERNEL, INITRD, None)


def test_a_file_that_is_emptied_meanwhile_is_being_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, lambda: os.truncate(at(root, INITRD), 0))
    with pytest.raises(NotReady, match="is being written"):
        check(root, KERNEL, INITRD, None)


def test_a_file_that_is_replaced_meanwhile_is_being_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = at(root, INITRD).with_suffix(".new")
    new.write_bytes(at(root, INITRD).read_bytes())
    meanwhile(monkeypatch, lambda: new.replace(at(root, INITRD)))
    with pytest.raises(NotReady, match="is being written"):
        check(root, KERNEL, INITRD, None)


def test_a_file_that_goes_away_meanwhile_is_missing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, at(root, INITRD).unlink)
    with pytest.raises(NotReady, match="No such file or directory"):
        check(root, KERNEL, INITRD, None)


# --- what does not fit ------------------------------------------------------------------------------------


def test_what_does_not_fit_in_the_reservation_is_told_in_figures(root: Path) -> None:
    with pytest.raises(
        NotReady, match=rf"^{KERNEL} and {INITRD} need 62 MiB, the reservation \(crashkernel=\) has 60 "
    ):
        check(root, KERNEL, INITRD, 60 * MIB)
    with pytest.raises(NotReady, match=rf"^{KERNEL} need"):
        check(root, KERNEL, None, 60 * MIB)
    check(root, KERNEL, None, 61 * MIB)


def test_without_a_reservation_nothing_fits(root: Path) -> None:
    with pytest.raises(NotReady, match=r"the reservation \(crashkernel=\) has 0 MiB"):
        check(root, KERNEL, INITRD, 0)
