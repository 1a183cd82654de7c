# SPDX-License-Identifier: GPL-2.0-or-later
"""Noticing that somebody else has loaded or unloaded an image."""

import os
from pathlib import Path

import pytest

from kdumphpd.listener.watch import FILES, INVOCATIONS, difference, read_marks
from tests.unit.trees import CRASH_LOADED, kernel, put


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / INVOCATIONS).parent.mkdir(parents=True)
    put(tmp_path, {"var/crash/kexec_cmd": "kexec"})
    return kernel(tmp_path)


def start(root: Path, unit: str, invocation: str) -> None:
    link = root / f"{INVOCATIONS}{unit}"
    link.unlink(missing_ok=True)
    link.symlink_to(invocation)


def test_nothing_is_no_difference(root: Path) -> None:
    assert difference(read_marks(root), read_marks(root)) is None


def test_a_unit_that_was_restarted_is_noticed_by_its_invocation(root: Path) -> None:
    start(root, "kdump-tools.service", "0001")
    before = read_marks(root)
    start(root, "kdump-tools.service", "0002")
    assert difference(before, read_marks(root)) == ("kdump-tools.service was started", True)
    (root / f"{INVOCATIONS}kdump-tools.service").unlink()
    assert difference(before, read_marks(root)) == ("kdump-tools.service was stopped", True)


def test_a_file_that_a_loader_writes_is_noticed(root: Path) -> None:
    before = read_marks(root)
    put(root, {"var/crash/kexec_cmd": "kexec -p another"})
    assert difference(before, read_marks(root)) == ("/var/crash/kexec_cmd was written", False)


def test_so_is_an_operators_rearm(root: Path) -> None:
    before = read_marks(root)
    put(root, {"run/kdumphpd-helper/record.json": "{}"})
    assert difference(before, read_marks(root)) == ("/run/kdumphpd-helper/record.json was written", False)


def test_an_image_that_appears_is_noticed_and_one_that_vanishes_is_the_operators(root: Path) -> None:
    loaded = read_marks(root)
    put(root, {CRASH_LOADED: "0\n"})
    unloaded = read_marks(root)
    assert difference(unloaded, loaded) == ("an image was loaded by somebody else", True)
    assert difference(loaded, unloaded) == ("the image was unloaded", False)


def test_what_cant_be_read_is_unknown(tmp_path: Path) -> None:
    put(tmp_path, {CRASH_LOADED: "?"})
    assert read_marks(tmp_path).loaded is None


def test_openSUSEs_load_shows_in_the_folder_that_it_copies_its_rule_to(root: Path) -> None:  # noqa: N802
    folder = root / "run/udev/rules.d"
    folder.mkdir(parents=True)
    assert read_marks(root).files[FILES.index("run/udev/rules.d")] is None
    (root / "usr/lib/kdump").mkdir(parents=True)
    (root / "usr/lib/kdump/70-kdump.rules").touch()
    before = read_marks(root)
    (folder / "70-kdump.rules").touch()
    (folder / "70-kdump.rules").unlink()
    assert difference(before, read_marks(root)) == ("/run/udev/rules.d was written", False)


def test_kdumpctls_call_shows_in_its_lock(root: Path) -> None:
    (root / "run/lock").mkdir(parents=True)
    (root / "run/lock/kdump").touch()
    before = read_marks(root)
    os.utime(root / "run/lock/kdump", (1, 1))
    assert difference(before, read_marks(root)) == ("/run/lock/kdump was written", False)


def test_what_others_than_root_write_tells_of_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/var/crash is for everybody on some systems."""
    before = read_marks(root)
    owner, real = root.stat().st_uid, Path.stat

    def stat(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = real(self, follow_symlinks=follow_symlinks)
        if self.name != "kexec_cmd":
            return found
        return os.stat_result([owner + 1 if n == 4 else value for n, value in enumerate(found)])

    monkeypatch.setattr(Path, "stat", stat)
    put(root, {"var/crash/kexec_cmd": "another"})
    assert read_marks(root).files[FILES.index("var/crash/kexec_cmd")] is None
    assert difference(before, read_marks(root)) is None
