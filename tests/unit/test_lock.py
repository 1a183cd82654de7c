# SPDX-License-Identifier: GPL-2.0-or-later
import fcntl
from pathlib import Path

import pytest

from kdumphpd.lock import locked


def test_a_lock_is_held_against_everybody_else_and_let_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("wb") as other:
        with locked(path, 1), pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_that_stays_taken_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match=r"somebody held .*/lock for 0\.2 s"), locked(path, 0.2):
            pytest.fail("it was held")


def test_a_lock_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), locked(tmp_path / "no" / "lock", 1):
        pytest.fail("there is none")


def test_a_failure_inside_lets_the_lock_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(ZeroDivisionError), locked(path, 1):
        raise ZeroDivisionError
    with locked(path, 0.0):
        pass
