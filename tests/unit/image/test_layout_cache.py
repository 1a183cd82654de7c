# SPDX-License-Identifier: GPL-2.0-or-later
import json
import resource
import stat
from pathlib import Path

import pytest

from kdumphpd.image.errors import UnreadableError
from kdumphpd.image.reader import inspect
from tests.unit.image.builder import Kernel, no_sleep


def test_the_layout_is_cached_for_root_alone_and_used_in_the_same_boot(tmp_path: Path) -> None:
    Kernel(tmp_path).write()
    cache = tmp_path / "layout.json"
    first = inspect(tmp_path, cache, no_sleep)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o600
    (tmp_path / "proc/kallsyms").unlink()
    (tmp_path / "sys/kernel/btf/vmlinux").unlink()
    assert first is not None
    assert inspect(tmp_path, cache, no_sleep) == first


def test_a_cache_of_another_boot_is_not_used(tmp_path: Path) -> None:
    Kernel(tmp_path).write()
    cache = tmp_path / "layout.json"
    inspect(tmp_path, cache, no_sleep)
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text("another\n")
    (tmp_path / "proc/kallsyms").unlink()
    with pytest.raises(UnreadableError):
        inspect(tmp_path, cache, no_sleep)


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", '{"boot_id": 1}', "\x00"])
def test_a_cache_that_does_not_parse_is_ignored_and_replaced(tmp_path: Path, content: str) -> None:
    Kernel(tmp_path).write()
    cache = tmp_path / "layout.json"
    cache.write_text(content)
    assert inspect(tmp_path, cache, no_sleep) is not None
    assert json.loads(cache.read_text())["symbols"]["kexec_crash_image"]


@pytest.mark.parametrize("part", ["symbols", "structs"])
def test_a_cache_of_this_boot_that_lacks_a_part_is_ignored(tmp_path: Path, part: str) -> None:
    Kernel(tmp_path).write()
    cache = tmp_path / "layout.json"
    inspect(tmp_path, cache, no_sleep)
    content = json.loads(cache.read_text())
    content[part] = {}
    cache.write_text(json.dumps(content))
    assert inspect(tmp_path, cache, no_sleep) is not None


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    assert inspect(Kernel(tmp_path).write().root, tmp_path / "missing/layout.json", no_sleep) is not None


def test_one_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    root = Kernel(tmp_path / "root").write().root
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))  # bytes of a file
    try:
        assert inspect(root, tmp_path / "layout.json", no_sleep) is not None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == [root]
