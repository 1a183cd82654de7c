# SPDX-License-Identifier: GPL-2.0-or-later
"""Noticing that somebody else has loaded or unloaded an image."""

import os
import threading
from pathlib import Path

import pytest

from kdumphpd.listener import watch
from kdumphpd.listener.watch import FILES, INVOCATIONS, Watch, difference
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
    assert difference(Watch(root).look(), Watch(root).look()) is None


def test_a_unit_that_was_restarted_is_noticed_by_its_invocation(root: Path) -> None:
    start(root, "kdump-tools.service", "0001")
    before = Watch(root).look()
    start(root, "kdump-tools.service", "0002")
    assert difference(before, Watch(root).look()) == ("kdump-tools.service was started", True)
    (root / f"{INVOCATIONS}kdump-tools.service").unlink()
    assert difference(before, Watch(root).look()) == ("kdump-tools.service was stopped", True)


def test_a_file_that_a_loader_writes_is_noticed(root: Path) -> None:
    before = Watch(root).look()
    put(root, {"var/crash/kexec_cmd": "kexec -p another"})
    assert difference(before, Watch(root).look()) == ("/var/crash/kexec_cmd was written", False)


def test_so_is_an_operators_rearm(root: Path) -> None:
    before = Watch(root).look()
    put(root, {"run/kdumphpd-helper/record.json": "{}"})
    assert difference(before, Watch(root).look()) == ("/run/kdumphpd-helper/record.json was written", False)


def test_an_image_that_appears_is_noticed_and_one_that_vanishes_is_the_operators(root: Path) -> None:
    loaded = Watch(root).look()
    put(root, {CRASH_LOADED: "0\n"})
    unloaded = Watch(root).look()
    assert difference(unloaded, loaded) == ("an image was loaded by somebody else", True)
    assert difference(loaded, unloaded) == ("the image was unloaded", False)


def test_what_cant_be_read_is_unknown(tmp_path: Path) -> None:
    put(tmp_path, {CRASH_LOADED: "?"})
    assert Watch(tmp_path).look().loaded is None


def test_openSUSEs_load_shows_in_the_folder_that_it_copies_its_rule_to(root: Path) -> None:  # noqa: N802
    folder = root / "run/udev/rules.d"
    folder.mkdir(parents=True)
    assert Watch(root).look().files[FILES.index("run/udev/rules.d")] is None
    (root / "usr/lib/kdump").mkdir(parents=True)
    (root / "usr/lib/kdump/70-kdump.rules").touch()
    before = Watch(root).look()
    (folder / "70-kdump.rules").touch()
    (folder / "70-kdump.rules").unlink()
    assert difference(before, Watch(root).look()) == ("/run/udev/rules.d was written", False)


def test_kdumpctls_call_shows_in_its_lock(root: Path) -> None:
    (root / "run/lock").mkdir(parents=True)
    (root / "run/lock/kdump").touch()
    before = Watch(root).look()
    os.utime(root / "run/lock/kdump", (1, 1))
    assert difference(before, Watch(root).look()) == ("/run/lock/kdump was written", False)


def test_what_others_than_root_write_tells_of_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/var/crash is for everybody on some systems."""
    before = Watch(root).look()
    owner, real = root.stat().st_uid, Path.stat

    def stat(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = real(self, follow_symlinks=follow_symlinks)
        if self.name != "kexec_cmd":
            return found
        return os.stat_result([owner + 1 if n == 4 else value for n, value in enumerate(found)])

    monkeypatch.setattr(Path, "stat", stat)
    put(root, {"var/crash/kexec_cmd": "another"})
    assert Watch(root).look().files[FILES.index("var/crash/kexec_cmd")] is None
    assert difference(before, Watch(root).look()) is None


def test_a_disk_that_does_not_answer_costs_a_moment_once_and_its_files_are_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = kernel(tmp_path)
    put(root, {"var/crash/kexec_cmd": "kexec -p"})
    here = Watch(root, patience=0.05)
    before = here.look()
    gone, stamp = threading.Event(), watch._stamp
    monkeypatch.setattr(watch, "_stamp", lambda root, path: stamp(root, path) if gone.wait(30) else None)
    put(root, {"var/crash/kexec_cmd": "kexec -p -s"})
    threads = threading.active_count()
    for _ in range(3):
        assert here.look() == before
    assert threading.active_count() == threads + 1, "it is asked once"
    put(root, {CRASH_LOADED: "0\n"})
    assert here.look().loaded is False, "what the kernel says is seen all the same"

    gone.set()
    while here.look().files == before.files:
        pass
    assert difference(before, here.look()) is not None
