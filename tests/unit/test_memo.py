# SPDX-License-Identifier: GPL-2.0-or-later
import errno
import os
import stat
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdumphpd import memo
from kdumphpd.memo import Memo

FULL = Memo(
    owed=True,
    unmended=memo.digest("2 GiB are missing — still"),
    answered=1 << 62,
    burnt=["file", "load"],
    upgraded=True,
    free_at=1e9 + 0.123456789,
    registered=memo.digest("0x0-0xfff"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / memo.FOLDER).mkdir(parents=True)
    return tmp_path


def test_what_is_written_is_read_again_whatever_was_there_before(root: Path) -> None:
    for known in (FULL, Memo(), FULL):
        memo.write(root, known)
        assert memo.read(root) == known


def test_every_field_is_told_apart_from_its_default() -> None:
    assert all(getattr(FULL, field.name) != getattr(Memo(), field.name) for field in fields(Memo))


def test_it_is_written_in_place_so_that_a_full_disk_takes_nothing_away(root: Path) -> None:
    memo.write(root, Memo())
    before = (root / memo.MEMORY).stat()
    memo.write(root, FULL)
    after = (root / memo.MEMORY).stat()
    assert (after.st_ino, after.st_size, after.st_blocks) == (before.st_ino, memo.SIZE, before.st_blocks)


def test_everybody_may_see_that_an_image_is_owed(root: Path) -> None:
    memo.write(root, FULL)
    assert stat.S_IMODE((root / memo.MEMORY).stat().st_mode) & 0o444 == 0o444
    assert memo.is_owed(root)


def test_a_promise_that_cannot_be_written_down_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        memo.write(tmp_path, FULL)


def test_no_room_for_the_page_is_an_error_and_leaves_no_promise(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        memo.write(root, FULL)
    assert memo.read(root) == Memo()


def test_where_there_is_no_folder_nothing_is_remembered(tmp_path: Path) -> None:
    assert memo.read(tmp_path) == Memo()
    assert not memo.is_owed(tmp_path)


def test_what_cannot_be_opened_may_be_a_promise(root: Path) -> None:
    (root / memo.MEMORY).mkdir()
    assert memo.is_owed(root)


@given(st.binary(min_size=1, max_size=200).filter(lambda data: data.strip(b"\0")))
def test_what_cannot_be_understood_may_be_a_promise(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    root = tmp_path_factory.mktemp("memo")
    (root / memo.FOLDER).mkdir(parents=True)
    (root / memo.MEMORY).write_bytes(data)
    assert memo.read(root) == Memo(owed=True)


@pytest.mark.parametrize("text", ['{"owed": 1}', '{"burnt": "file"}', '{"answered": "many"}', '{"other": 1}', "[]"])
def test_fields_of_another_kind_are_not_understood(root: Path, text: str) -> None:
    (root / memo.MEMORY).write_text(text)
    assert memo.read(root) == Memo(owed=True)


def test_nothing_has_no_digest_and_different_texts_have_different_ones() -> None:
    assert memo.digest("") == ""
    assert memo.digest("a") != memo.digest("b")
