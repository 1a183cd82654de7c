# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the image cannot be read, the reason is named."""

import os
from pathlib import Path

import pytest

from kdumphpd.image.errors import Cause
from kdumphpd.image.examine import examine
from kdumphpd.image.verdict import ImageState
from tests.unit.image import builder, fdts
from tests.unit.image.builder import MIB, Kernel, no_sleep


def reason_of(root: Path) -> Cause | None:
    image, verdict = examine(root, sleep=no_sleep)
    assert verdict.state is ImageState.UNREADABLE
    assert verdict.detail
    assert image is None or verdict.reason is not Cause.NO_KCORE
    return verdict.reason


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("proc/kallsyms", Cause.NO_KALLSYMS),
        ("sys/kernel/btf/vmlinux", Cause.NO_BTF),
        ("proc/kcore", Cause.NO_KCORE),
        ("proc/iomem", Cause.NO_SYSFS),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, path: str, reason: Cause) -> None:
    Kernel(tmp_path).write()
    (tmp_path / path).unlink()
    assert reason_of(tmp_path) is reason


def test_a_kernel_without_all_symbols_is_named(tmp_path: Path) -> None:
    Kernel(tmp_path).write()
    (tmp_path / "proc/kallsyms").write_text("ffffffff81000000 T _text\n")
    assert reason_of(tmp_path) is Cause.NO_SYMBOL


@pytest.mark.parametrize(
    ("lockdown", "reason"),
    [("none integrity [confidentiality]\n", Cause.LOCKDOWN), ("[none] integrity\n", Cause.NO_PERMISSION)],
)
def test_lockdown_is_told_from_a_missing_privilege(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lockdown: str, reason: Cause
) -> None:
    Kernel(tmp_path).write()
    (tmp_path / "sys/kernel/security").mkdir(parents=True)
    (tmp_path / "sys/kernel/security/lockdown").write_text(lockdown)
    really_open = Path.open

    def refused(path: Path, *args: object, **kwargs: object) -> object:
        if path.name == "kcore":
            raise PermissionError(1, os.strerror(1), str(path))
        return really_open(path, *args, **kwargs)  # type: ignore[call-overload]  # handed through as it came

    monkeypatch.setattr(Path, "open", refused)
    assert reason_of(tmp_path) is reason


def test_a_32_bit_kernel_is_refused_by_name(tmp_path: Path) -> None:
    Kernel(tmp_path).write()
    data = bytearray((tmp_path / "proc/kcore").read_bytes())
    data[4] = 1
    (tmp_path / "proc/kcore").write_bytes(data)
    assert reason_of(tmp_path) is Cause.NO_KCORE


def test_a_damaged_fdt_is_unreadable_rather_than_current(tmp_path: Path) -> None:
    tree = bytearray(fdts.tree_of(0, 1))
    tree[56:60] = b"junk"  # the first token of the structure
    Kernel(tmp_path, "big", tree=bytes(tree)).write()
    assert reason_of(tmp_path) is Cause.UNKNOWN_FORMAT


def test_an_image_without_an_elfcorehdr_can_still_be_shown(tmp_path: Path) -> None:
    Kernel(tmp_path, segments=((builder.KERNEL_AT, MIB, 100),)).write()
    image, verdict = examine(tmp_path, sleep=no_sleep)
    assert image is not None
    assert verdict.reason is Cause.NO_ELFCOREHDR
