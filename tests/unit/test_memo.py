# SPDX-License-Identifier: GPL-2.0-or-later
import stat
from pathlib import Path

import pytest

from kdumphpd import memo


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / memo.FOLDER).mkdir(parents=True)
    return tmp_path


def test_a_promise_is_open_until_it_is_settled(root: Path) -> None:
    assert not memo.is_owed(root)
    memo.promise(root)
    assert memo.is_owed(root)
    memo.promise(root)
    memo.settle(root)
    assert not memo.is_owed(root)
    memo.settle(root)


def test_everybody_may_see_that_a_promise_is_open(root: Path) -> None:
    memo.promise(root)
    assert stat.S_IMODE((root / memo.PROMISE).stat().st_mode) & 0o444 == 0o444


def test_a_promise_that_cannot_be_written_down_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        memo.promise(tmp_path)


def test_where_there_is_no_folder_nothing_is_remembered(tmp_path: Path) -> None:
    assert not memo.is_owed(tmp_path)
    assert memo.unmended(tmp_path) == ""
    assert memo.answered(tmp_path) == -1
    memo.settle(tmp_path)
    memo.set_unmended(tmp_path, "")


def test_what_a_reload_did_not_mend_is_remembered_until_it_is(root: Path) -> None:
    memo.set_unmended(root, "2 GiB are missing — still")
    assert memo.unmended(root) == "2 GiB are missing — still"
    memo.set_unmended(root, "")
    assert memo.unmended(root) == ""


def test_the_last_answered_complaint_is_remembered(root: Path) -> None:
    memo.set_answered(root, 0)
    assert memo.answered(root) == 0
    memo.set_answered(root, 4711)
    assert memo.answered(root) == 4711


def test_a_number_that_is_none_counts_as_no_complaint_answered(root: Path) -> None:
    (root / memo.ANSWERED).write_text("many")
    assert memo.answered(root) == -1
