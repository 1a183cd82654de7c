# SPDX-License-Identifier: GPL-2.0-or-later
"""What of the harness needs no guest."""

import json
from pathlib import Path

import pytest

from tests.vm import cache, initrd, payload, results
from tests.vm.guests import GUESTS
from tests.vm.results import Result


def test_a_run_replaces_only_its_own_rows(tmp_path: Path) -> None:
    path = tmp_path / "vm" / "results.json"
    results.merge(path, [Result("storm", "debian12", "6.1", "x86_64"), Result("idle", "debian12", "6.1", "x86_64")])
    results.merge(path, [Result("storm", "debian12", "6.1", "x86_64", reloads=1, passed=True)])
    rows = {row["name"]: row for row in json.loads(path.read_text())}
    assert rows["storm"]["passed"]
    assert rows["storm"]["reloads"] == 1
    assert not rows["idle"]["passed"]


def test_a_cached_directory_is_made_once_for_a_version(tmp_path: Path) -> None:
    made: list[Path] = []
    for version in ("1", "1", "2"):
        cache.produce(tmp_path, "image", version, made.append)
    assert len(made) == 2


def test_an_interrupted_build_leaves_nothing(tmp_path: Path) -> None:
    def fail(directory: Path) -> None:
        (directory / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.produce(tmp_path, "image", "1", fail)
    assert [path.name for path in tmp_path.iterdir()] == [".image.lock"]


def test_equal_trees_are_equal_payloads(tmp_path: Path) -> None:
    digests = []
    for name in ("a", "b"):
        tree = tmp_path / name
        (tree / "usr/bin").mkdir(parents=True)
        (tree / "usr/bin/kdumphpd").write_text("#!/bin/sh\n")
        digests.append(payload.pack(tree, tmp_path).digest)
    assert digests[0] == digests[1]
    assert (tmp_path / "payload.raw").stat().st_size == 8 << 20


def test_guest_names_are_what_tests_select_them_by() -> None:
    assert all(name == guest.name for name, guest in GUESTS.items())


def test_an_initrd_loads_a_module_after_those_it_needs(tmp_path: Path) -> None:
    dependencies = "ext4.ko.xz: jbd2.ko.xz crc16.ko.xz\njbd2.ko.xz: crc16.ko.xz\ncrc16.ko.xz:\n"
    (tmp_path / "modules.dep").write_text(dependencies)
    (tmp_path / "modules.builtin").write_text("kernel/crypto/crc32c_generic.ko\nkernel/drivers/block/virtio_blk.ko\n")
    names = [path.name for path in initrd.modules(tmp_path, initrd.MODULES)]
    assert names == ["crc16.ko.xz", "jbd2.ko.xz", "ext4.ko.xz"]
