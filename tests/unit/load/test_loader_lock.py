# SPDX-License-Identifier: GPL-2.0-or-later
import fcntl
from pathlib import Path

import pytest

from kdumphpd import runtime
from kdumphpd.load import loader_lock
from kdumphpd.load.run import LoadFailed

LOCK = "/run/lock/kdump"
PRIVATE = (f"BindPaths=/{loader_lock.PRIVATE}:{LOCK}",)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / runtime.FOLDER).mkdir(parents=True)
    (tmp_path / "run/lock").mkdir()
    return tmp_path


def never(_seconds: float) -> None:
    raise AssertionError("waited")


def test_a_loader_without_a_lock_needs_nothing(root: Path) -> None:
    assert loader_lock.properties(root, "", never) == ()


@pytest.mark.parametrize("exists", [False, True])
def test_a_free_lock_is_not_waited_for(root: Path, exists: bool) -> None:
    if exists:
        (root / LOCK.lstrip("/")).touch()
    assert loader_lock.properties(root, LOCK, never) == PRIVATE
    assert (root / loader_lock.PRIVATE).stat().st_mode & 0o777 == 0o600


def test_a_held_lock_is_waited_for_briefly_and_then_done_without(root: Path) -> None:
    waited: list[float] = []
    with (root / LOCK.lstrip("/")).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert loader_lock.properties(root, LOCK, waited.append) == PRIVATE
    assert sum(waited) == pytest.approx(loader_lock.PATIENCE)


def test_one_that_gets_free_is_left_free(root: Path) -> None:
    path = root / LOCK.lstrip("/")
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        loader_lock.properties(root, LOCK, lambda _: fcntl.flock(held, fcntl.LOCK_UN))
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_without_room_for_the_private_one_nothing_is_begun(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="cannot create /run/kdumphpd-helper/loader-lock"):
        loader_lock.properties(tmp_path, LOCK, never)
