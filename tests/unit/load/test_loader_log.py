# SPDX-License-Identifier: GPL-2.0-or-later
import threading
from pathlib import Path

import pytest

from kdumphpd.load import loader_log
from kdumphpd.load.loader_log import said_since, size
from kdumphpd.load.run import TAIL
from tests.unit.trees import put


def test_what_a_log_says_since_is_told_without_the_shells_trace(tmp_path: Path) -> None:
    put(tmp_path, {"kdump.log": "old\n+ /sbin/kexec -p /k\nkexec_load failed: No space left on device\n"})
    assert said_since(tmp_path / "kdump.log", 4) == "kexec_load failed: No space left on device"
    assert said_since(tmp_path / "missing", 0) == ""


def test_a_log_that_was_rotated_meanwhile_is_new(tmp_path: Path) -> None:
    put(tmp_path, {"kdump.log": "new\n"})
    assert said_since(tmp_path / "kdump.log", 100_000) == "new"


def test_of_a_long_log_the_end_is_told(tmp_path: Path) -> None:
    put(tmp_path, {"kdump.log": "line\n" * 10_000 + "the reason\n"})
    words = said_since(tmp_path / "kdump.log", 0)
    assert words.endswith("line\nthe reason")
    assert len(words) <= TAIL


def test_how_long_it_is(tmp_path: Path) -> None:
    put(tmp_path, {"kdump.log": "four"})
    assert (size(tmp_path / "kdump.log"), size(tmp_path / "missing")) == (4, 0)


def test_a_disk_that_does_not_answer_keeps_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(loader_log, "LIMIT", 0.05)
    for call in ("stat", "open"):
        monkeypatch.setattr(Path, call, lambda *_, **__: answered.wait())
    assert (size(tmp_path / "kdump.log"), said_since(tmp_path / "kdump.log", 0)) == (0, "")
    answered.set()
    for thread in threading.enumerate():
        if thread.name == "bounded":
            thread.join()
