# SPDX-License-Identifier: GPL-2.0-or-later
import json
import os
import re
from pathlib import Path

import pytest

from kdumphpd.load import files
from kdumphpd.load.files import FileIdentity, identity
from kdumphpd.load.run import LoadFailed, NotReady
from tests.unit.load.archives import PACKERS, cpio, packed
from tests.unit.load.image_files import INITRD, KERNEL, MIB, NEED, at, check, machine, refusal


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return machine(tmp_path)


# --- what can be loaded -----------------------------------------------------------------------------------


def test_a_kernel_and_an_initrd_that_are_whole_pass(root: Path) -> None:
    check(root)
    check(root, initrd=None)
    check(root, reservation=NEED)


def test_their_identities_come_back_by_path(root: Path) -> None:
    assert check(root) == {str(path): identity(at(root, path)) for path in (KERNEL, INITRD)}


def test_the_files_may_be_named_by_links(root: Path) -> None:
    at(root, Path("/boot/vmlinuz-latest")).symlink_to("vmlinuz")
    assert check(root, Path("/boot/vmlinuz-latest"))["/boot/vmlinuz-latest"] == identity(at(root, KERNEL))


def test_what_was_loaded_before_is_not_touched(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = check(root)
    monkeypatch.setattr(os, "open", lambda *arguments: pytest.fail("opened"))
    assert check(root, reservation=0, known=known) == known


def test_of_two_files_the_one_that_has_changed_is_looked_at(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = check(root)
    at(root, KERNEL).write_bytes(at(root, KERNEL).read_bytes()[:9000])
    with pytest.raises(NotReady, match="the kernel"):
        check(root, known=known)


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
    check(root)
    end = 0
    for start, stop in read:  # in order, the first time
        if start == end:
            end = stop
    assert end == at(root, INITRD).stat().st_size


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize(
    "behind", [b"", bytes(1021), b"a signature\n", bytes(4) + cpio(100)], ids=["", "zeros", "text", "archive"]
)
@pytest.mark.parametrize("before", [b"", cpio(999) + bytes(512)], ids=["", "microcode"])
def test_an_initrd_that_kernels_take_passes_its_tools_test(
    root: Path, kind: str, behind: bytes, before: bytes
) -> None:
    at(root, INITRD).write_bytes(before + packed(kind, 1000) + behind)
    check(root)


# --- what can't -------------------------------------------------------------------------------------------


def test_not_ready_is_a_failed_load() -> None:
    assert issubclass(NotReady, LoadFailed)


@pytest.mark.parametrize("path", [KERNEL, INITRD])
def test_a_file_that_is_missing_is_named_with_the_systems_words(root: Path, path: Path) -> None:
    at(root, path).unlink()
    assert re.match(rf"cannot read the \w+ {path}: No such file or directory; (re|install)", refusal(root))


def test_a_link_to_nowhere_is_a_missing_file(root: Path) -> None:
    at(root, INITRD).unlink()
    at(root, INITRD).symlink_to("initrd.img-6.1")
    assert "No such file or directory" in refusal(root)


def test_an_empty_file_is_cut_short(root: Path) -> None:
    at(root, INITRD).write_bytes(b"")
    assert f"the initrd {INITRD} is empty: it was cut short, or is still being written" in refusal(root)


def test_a_file_whose_data_never_reached_the_disk_is_found(root: Path) -> None:
    at(root, INITRD).write_bytes(bytes(100_000))
    assert refusal(root) == f"the initrd {INITRD} holds nothing but zeros: rebuild it"


def test_a_folder_or_a_fifo_is_no_file_and_nothing_to_wait_for(root: Path) -> None:
    assert refusal(root, KERNEL.parent) == "the kernel /boot is not a regular file: install it again"
    at(root, INITRD).unlink()
    os.mkfifo(at(root, INITRD))
    assert refusal(root) == f"the initrd {INITRD} is not a regular file: rebuild it"


def test_more_than_kexec_reads_is_not_even_read(root: Path) -> None:
    os.truncate(at(root, INITRD), files.MAX_FILE + 1)
    assert f"has {files.MAX_FILE + 1} bytes, and kexec reads {files.MAX_FILE}" in refusal(root)


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("before", [b"", cpio(999) + bytes(512)], ids=["", "microcode"])
def test_an_initrd_that_is_cut_short_is_to_be_rebuilt(root: Path, kind: str, before: bytes) -> None:
    at(root, INITRD).write_bytes(before + packed(kind, 1000)[:-30])
    tool = kind.split(",")[0].split()[0]
    assert re.match(rf"the initrd {INITRD} is damaged \(`{tool} -t` says: .+\): rebuild it$", refusal(root))


@pytest.mark.parametrize("kind", ["gzip", "xz", "zstd", "lz4 frame"])
def test_so_is_one_that_is_damaged(root: Path, kind: str) -> None:
    data = bytearray(packed(kind, 1000))
    data[500:510] = bytes(10)
    at(root, INITRD).write_bytes(data)
    assert "is damaged" in refusal(root)


def test_a_kernel_that_is_cut_short_is_to_be_installed_again(root: Path) -> None:
    os.truncate(at(root, KERNEL), 9000)
    assert re.search(r"vmlinuz ends after 9000 bytes, and by its header .* install it again$", refusal(root))


def test_so_is_a_compressed_one(root: Path) -> None:
    whole = packed("gzip", 1000)
    at(root, KERNEL).write_bytes(whole)
    check(root)
    at(root, KERNEL).write_bytes(whole + b"~Module signature appended~\n")
    check(root)
    at(root, KERNEL).write_bytes(whole[:-20])
    expected = rf"the kernel {KERNEL} is damaged \(`gzip -t` says: .*unexpected end of file\): install it again"
    assert re.match(expected, refusal(root))


# --- what does not fit ------------------------------------------------------------------------------------


def test_what_does_not_fit_in_the_reservation_is_told_in_figures(root: Path) -> None:
    both = rf"^{KERNEL} and {INITRD} need 62 MiB, the reservation \(crashkernel=\) has 60 MiB: make it larger, or"
    assert re.match(both, refusal(root, reservation=60 * MIB))
    assert refusal(root, initrd=None, reservation=60 * MIB).startswith(f"{KERNEL} need")
    check(root, initrd=None, reservation=61 * MIB)


def test_without_a_reservation_nothing_fits(root: Path) -> None:
    assert "the reservation (crashkernel=) has 0 MiB" in refusal(root, reservation=0)


def test_a_kernel_that_does_not_tell_its_need_is_left_to_kexec(root: Path) -> None:
    at(root, KERNEL).write_bytes(b"MZ\0\0zimg" + bytes(range(256)) * 100)
    check(root, reservation=2 * MIB)


# --- identities -------------------------------------------------------------------------------------------


def test_an_identity_survives_json(root: Path) -> None:
    file = identity(at(root, KERNEL))
    assert file is not None
    assert FileIdentity.from_json(json.loads(json.dumps(file.to_json()))) == file


@pytest.mark.parametrize("value", [None, {}, [], [1, 2, 3, 4], [1, 2, 3, 4, "5"], [1, 2, 3, 4, True], "12345"])
def test_anything_else_is_none(value: object) -> None:
    with pytest.raises(ValueError, match="is no identity of a file"):
        FileIdentity.from_json(value)


def test_what_is_not_there_has_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert identity(tmp_path / "missing") is None
    assert identity(tmp_path / "file/below") is None
