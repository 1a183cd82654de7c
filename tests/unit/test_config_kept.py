# SPDX-License-Identifier: GPL-2.0-or-later
"""The last configuration that was right is kept, and files are read again only when they have changed."""

import errno
from pathlib import Path

import pytest

from kdumphpd import config_file
from kdumphpd.config import Config
from kdumphpd.config_file import ADMIN_FILE, ConfigError, load
from tests.unit.trees import put


def test_files_that_have_not_changed_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, {ADMIN_FILE: "[events]\nsettle_time = 2\n"})
    kept = tmp_path / "kept.json"
    known = config_file.load_kept(tmp_path, kept)
    monkeypatch.setattr(config_file, "_read", lambda path: pytest.fail("it was read"))
    assert config_file.load_kept(tmp_path, kept) == known


def test_a_file_that_has_changed_is_read(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    assert config_file.load_kept(tmp_path, kept) == Config()
    put(tmp_path, {ADMIN_FILE: "[events]\nsettle_time = 2\n"})
    assert config_file.load_kept(tmp_path, kept).events.settle_time == 2


def test_a_full_disk_keeps_nothing_and_is_left_no_fuller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, _text: str) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert config_file.load_kept(tmp_path, tmp_path / "kept.json") == Config()
    assert list(tmp_path.iterdir()) == []


def test_while_a_file_is_in_error_the_last_one_that_was_right_is_known(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    put(tmp_path, {ADMIN_FILE: "[events]\nsettle_time = 2\n"})
    known = config_file.load_kept(tmp_path, kept)
    put(tmp_path, {ADMIN_FILE: "[events]\nsettle_time = 0\n"})
    with pytest.raises(ConfigError):
        config_file.load_kept(tmp_path, kept)
    assert config_file.recall(kept) == known


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"config": {"events": {"settle_time": "x"}}}', "[" * 5000])
def test_what_was_not_kept_by_us_is_no_configuration(tmp_path: Path, text: str) -> None:
    put(tmp_path, {"kept.json": text})
    with pytest.raises(ConfigError, match="no earlier configuration"):
        config_file.recall(tmp_path / "kept.json")


@pytest.mark.parametrize("keeps", [False, True])
def test_a_link_that_leads_nowhere_is_an_error_and_the_last_configuration_stays(
    tmp_path: Path, *, keeps: bool
) -> None:
    kept = tmp_path / "kept.json"
    put(tmp_path, {ADMIN_FILE: "[events]\nsettle_time = 2\n"})
    known = config_file.load_kept(tmp_path, kept)
    (tmp_path / ADMIN_FILE).unlink()
    (tmp_path / ADMIN_FILE).symlink_to("nowhere")
    with pytest.raises(ConfigError, match=r"cannot read .*kdumphpd.toml: No such file or directory"):
        config_file.load_kept(tmp_path, kept) if keeps else load(tmp_path)
    assert config_file.recall(kept) == known
