# SPDX-License-Identifier: GPL-2.0-or-later
"""What the listener learns from the helper's record."""

from pathlib import Path

import pytest

from kdumphpd.helper import record
from kdumphpd.helper.record import Pending, Record
from kdumphpd.runtime import FOLDER, RECORD, reload_pending


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / FOLDER).mkdir(parents=True)
    return tmp_path


def test_without_a_record_nothing_is_pending(root: Path) -> None:
    assert not reload_pending(root)


def test_nor_with_one_that_says_so(root: Path) -> None:
    record.write(root, Record())
    assert not reload_pending(root)


def test_a_reload_that_has_begun_is_pending(root: Path) -> None:
    record.write(root, Record(pending=Pending()))
    assert reload_pending(root)


def test_room_that_was_never_filled_says_nothing(root: Path) -> None:
    (root / RECORD).write_bytes(b"\0" * 4096)
    assert not reload_pending(root)


@pytest.mark.parametrize("text", ["{", "[]", "7", "{}", '"pending"', "[" * 4096, "\xff"])
def test_what_cannot_be_understood_may_say_that_one_is(root: Path, text: str) -> None:
    (root / RECORD).write_text(text, encoding="latin-1")
    assert reload_pending(root)


def test_so_may_what_cannot_be_opened(root: Path) -> None:
    (root / RECORD).mkdir()
    assert reload_pending(root)
