# SPDX-License-Identifier: GPL-2.0-or-later
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from kdumphpd.load import files
from kdumphpd.load.files import FileIdentity
from kdumphpd.load.run import NotReady
from tests.unit.load.image_files import INITRD, KERNEL, at, machine, refusal


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return machine(tmp_path)


class Machine:
    """Its time goes on by waiting alone, and somebody does something meanwhile."""

    def __init__(self, root: Path, since: float, meanwhile: Callable[[], object] = lambda: None) -> None:
        """`since`: the seconds since the files were changed."""
        self.root = root
        self.now = max(at(root, path).stat().st_ctime for path in (KERNEL, INITRD)) + since
        self.waited = 0.0
        self.meanwhile = meanwhile

    def sleep(self, seconds: float) -> None:
        self.waited += seconds
        self.now += seconds
        self.meanwhile()

    def check(self) -> dict[str, FileIdentity]:
        return files.check(self.root, KERNEL, INITRD, None, {}, self.sleep, lambda: self.now)


def test_a_file_that_was_just_written_is_given_time_to_settle(root: Path) -> None:
    time = Machine(root, since=0.5)
    time.check()
    assert 1.4 <= time.waited <= 1.6


def test_one_that_was_written_a_while_ago_is_not_waited_for(root: Path) -> None:
    time = Machine(root, since=2.5)
    time.check()
    assert time.waited == 0


def test_a_clock_that_is_behind_the_file_costs_no_more(root: Path) -> None:
    time = Machine(root, since=-5000)
    time.check()
    assert time.waited <= 4


def test_a_file_that_grows_all_the_time_is_being_written(root: Path) -> None:
    time = Machine(root, since=0)
    times = 0

    def grow() -> None:
        nonlocal times
        times += 1
        with at(root, INITRD).open("ab") as file:
            file.write(b"more")
        os.utime(at(root, INITRD), (time.now, time.now))

    time.meanwhile = grow
    with pytest.raises(NotReady, match=f"the initrd {INITRD} is being written: it is looked at again later"):
        time.check()
    assert times <= 5


def meanwhile(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Somebody does that while the initrd is tested."""
    real = files._test

    def change_and_test(subject: files._Subject, fd: int, size: int) -> None:
        if subject.path == INITRD:
            change()
        real(subject, fd, size)

    monkeypatch.setattr(files, "_test", change_and_test)


def test_a_file_that_is_emptied_meanwhile_is_being_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, lambda: os.truncate(at(root, INITRD), 0))
    assert refusal(root) == f"the initrd {INITRD} is being written: it is looked at again later"


def test_a_file_that_is_replaced_meanwhile_is_being_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = at(root, INITRD).with_suffix(".new")
    new.write_bytes(at(root, INITRD).read_bytes())
    meanwhile(monkeypatch, lambda: new.replace(at(root, INITRD)))
    assert "is being written" in refusal(root)


def test_a_file_that_goes_away_meanwhile_is_missing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, at(root, INITRD).unlink)
    assert "No such file or directory" in refusal(root)


def test_a_disk_that_does_not_answer_does_not_hold_the_helper(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(files, "_check", lambda *arguments: answered.wait())
    with pytest.raises(NotReady, match=rf"^{KERNEL} and {INITRD} did not answer within 0\.1 s: a disk or server"):
        files.check(root, KERNEL, INITRD, None, {}, limit=0.1)
    answered.set()
    for thread in threading.enumerate():
        if thread.name == "bounded":
            thread.join()
