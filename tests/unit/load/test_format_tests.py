# SPDX-License-Identifier: GPL-2.0-or-later
"""What a format's own tool finds out, and what it doesn't."""

import os
from pathlib import Path

import pytest

from kdumphpd.load import files, run
from tests.unit.load.image_files import INITRD, at, check, machine, refusal


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return machine(tmp_path)


def without_tools(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Have no other tools than these, by name."""
    monkeypatch.setattr(files, "PATH", str(folder))
    monkeypatch.setitem(run.ENVIRONMENT, "PATH", f"{folder}:/usr/bin:/bin")
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)


def test_without_the_tool_nothing_is_tested(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.truncate(at(root, INITRD), 500)
    assert "zstd" in refusal(root)
    without_tools(tmp_path, monkeypatch)
    check(root)


@pytest.mark.parametrize(
    "script",
    [
        "kill -9 $$",
        "sleep 1000",
        "echo 'zstd: error 11 : Allocation error : not enough memory' >&2; exit 1",
        "echo 'xz: (stdin): Cannot allocate memory' >&2; exit 1",
    ],
)
def test_one_that_is_killed_or_lacks_memory_or_takes_too_long_says_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(files, "TEST_LIMIT", 0.3)
    without_tools(tmp_path, monkeypatch, zstd=script)
    check(root)


def test_zeros_are_taken_off_for_a_tool_that_does_not_know_them(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = at(root, INITRD).stat().st_size
    with at(root, INITRD).open("ab") as file:
        file.write(bytes(4096))
    without_tools(tmp_path, monkeypatch, zstd=f'size=$(wc -c); echo $size >>{tmp_path}/sizes; [ "$size" = {size} ]')
    check(root)
    assert (tmp_path / "sizes").read_text().split() == [str(size + 4096), str(size)]
