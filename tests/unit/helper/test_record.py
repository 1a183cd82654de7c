# SPDX-License-Identifier: GPL-2.0-or-later
"""The record on disk, and the lock: what outlives a request, and who can touch it."""

import json
import os
import stat
from pathlib import Path

import pytest

from kdumphpd.helper import record
from kdumphpd.helper.lock import Busy, request_lock
from kdumphpd.helper.record import Pending, Record, Unit
from kdumphpd.image.fingerprint import Fingerprint
from kdumphpd.image.ranges import Range
from kdumphpd.runtime import FOLDER, LOCK, MAX_RECORD, RECORD, reload_pending

FULL = Record(
    pending=Pending((Unit("kdump.service", "active", "enabled"),)),
    machine=Fingerprint((Range(0, 99),), "0-3"),
    image="abc",
    handled=7,
    ineffective=["kexec_load"],
    files={"/boot/vmlinuz": [1, 2, 3, 4, 5]},
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / FOLDER).mkdir(parents=True)
    return tmp_path


def test_nothing_is_recorded_at_first(root: Path) -> None:
    assert record.read(root) == Record()
    assert not reload_pending(root)


def test_what_was_written_is_read(root: Path) -> None:
    record.write(root, FULL)
    assert record.read(root) == FULL
    assert reload_pending(root)
    record.write(root, Record())
    assert record.read(root) == Record()
    assert not reload_pending(root)


def test_it_is_one_page_whatever_it_holds_and_the_listener_may_read_it(root: Path) -> None:
    os.umask(os.umask(0o077))
    many = Fingerprint(tuple(Range(n << 32, (n << 32) + 99) for n in range(10_000)), "0-9999")
    record.write(root, Record(machine=many, files={f"/{n:0200}": [1] for n in range(50)}))
    status = (root / RECORD).stat()
    assert (status.st_size, stat.S_IMODE(status.st_mode)) == (MAX_RECORD, 0o644)


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"pending": 3}', '{"unknown": 1}', "[" * 4000, '{"machine": 1}'])
def test_what_cant_be_understood_may_have_been_a_pending_reload(root: Path, text: str) -> None:
    (root / RECORD).write_text(text)
    assert record.read(root) == Record(pending=Pending())
    assert reload_pending(root) or text == '{"machine": 1}' or "unknown" in text


def test_a_page_that_was_never_filled_is_nothing(root: Path) -> None:
    (root / RECORD).write_bytes(bytes(4096))
    assert record.read(root) == Record()
    assert not reload_pending(root)


def test_a_link_is_not_followed(root: Path) -> None:
    (root / "elsewhere").write_text("{}")
    (root / RECORD).symlink_to(root / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        record.write(root, FULL)
    assert (root / "elsewhere").read_text() == "{}"


def test_nobody_but_root_can_open_the_lock_whatever_the_umask(root: Path) -> None:
    before = os.umask(0)
    try:
        request_lock(root).release()
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / LOCK).stat().st_mode) == 0o600


def test_a_lock_that_somebody_made_readable_is_closed_again(root: Path) -> None:
    (root / LOCK).touch(0o666)
    request_lock(root).release()
    assert stat.S_IMODE((root / LOCK).stat().st_mode) == 0o600


def test_one_request_is_at_work_at_a_time(root: Path) -> None:
    first = request_lock(root)
    with pytest.raises(Busy, match="another request"):
        request_lock(root, patience=0.1)
    first.release()
    request_lock(root, patience=0.1).release()


@pytest.mark.parametrize("pending", [None, {"units": []}])
def test_a_record_of_another_version_still_says_whether_a_reload_is_pending(root: Path, pending: object) -> None:
    record.write(root, Record(method="kexec_load"))
    content = json.loads((root / RECORD).read_text()) | {"pending": pending, "a field of the next version": 1}
    (root / RECORD).write_text(json.dumps(content))
    known = record.read(root)
    assert (known.pending is None, known.method) == (pending is None, "kexec_load")
