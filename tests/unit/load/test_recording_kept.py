# SPDX-License-Identifier: GPL-2.0-or-later
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from kdumphpd import runtime
from kdumphpd.load.command import parse
from kdumphpd.load.recording import Recording, keep, load_kept
from tests.unit.load.asked import machine, recipe, record
from tests.unit.trees import put


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return machine(tmp_path, monkeypatch)


def test_a_recording_is_kept_for_root_alone(root: Path) -> None:
    assert load_kept(root, runtime.RECORDING) is None
    found = record(root, recipe(root), 30)
    keep(root, runtime.RECORDING, found)
    assert (root / runtime.RECORDING).stat().st_mode & 0o777 == 0o600
    assert load_kept(root, runtime.RECORDING) == found
    newer = replace(found, boot_id="another")
    keep(root, runtime.RECORDING, newer)
    assert load_kept(root, runtime.RECORDING) == newer


def test_arguments_that_are_no_text_survive_too(root: Path) -> None:
    found = Recording(parse(["/sbin/kexec", "-p", "--append=\udcff", "/k"]), {"/k": None}, "1", ())
    keep(root, runtime.RECORDING, found)
    assert load_kept(root, runtime.RECORDING) == found


def test_a_link_in_its_place_is_not_followed(root: Path) -> None:
    found = record(root, recipe(root), 30)
    keep(root, "elsewhere", found)
    (root / runtime.RECORDING).symlink_to(root / "elsewhere")
    assert load_kept(root, runtime.RECORDING) is None
    keep(root, runtime.RECORDING, found)
    assert not (root / runtime.RECORDING).is_symlink()


@pytest.mark.parametrize("mode", [0o622, 0o666, 0o620])
def test_what_others_could_have_written_is_not_used(root: Path, mode: int) -> None:
    keep(root, runtime.RECORDING, record(root, recipe(root), 30))
    (root / runtime.RECORDING).chmod(mode)
    assert load_kept(root, runtime.RECORDING) is None


def test_a_fifo_in_its_place_is_nothing_to_wait_for(root: Path) -> None:
    os.mkfifo(root / runtime.RECORDING, 0o600)
    assert load_kept(root, runtime.RECORDING) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"argv": [], "inputs": {}, "boot_id": "", "loader": []}',
        '{"argv": ["kexec", "-p", 7], "inputs": {}, "boot_id": "", "loader": []}',
        '{"argv": ["kexec", "-e"], "inputs": {}, "boot_id": "", "loader": []}',
        '{"argv": ["kexec", "-p", "/k"], "inputs": {"/k": [1]}, "boot_id": "", "loader": []}',
        '{"argv": ["kexec", "-p", "/k"], "inputs": 7, "boot_id": "", "loader": []}',
        '{"argv": ["kexec", "-p", "/k"], "inputs": {}, "boot_id": null, "loader": []}',
        "[" * 100_000,
    ],
)
def test_what_is_no_recording_is_none(root: Path, text: str) -> None:
    put(root, {runtime.RECORDING: text})
    (root / runtime.RECORDING).chmod(0o600)
    assert load_kept(root, runtime.RECORDING) is None


def test_json_tells_all_of_it(root: Path) -> None:
    found = record(root, recipe(root), 30)
    assert Recording.from_json(json.loads(json.dumps(found.to_json()))) == found
