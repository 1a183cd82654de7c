# SPDX-License-Identifier: GPL-2.0-or-later
import errno
import os
from pathlib import Path

import pytest

from kdumphpd.load import crypt_keys
from kdumphpd.load.crypt_keys import REUSE, disable, properties, reused
from tests.unit.trees import put


@pytest.fixture
def switch(tmp_path: Path) -> Path:
    put(tmp_path, {REUSE: "0\n"})
    return tmp_path / REUSE


def refuse(monkeypatch: pytest.MonkeyPatch, number: int, digits: str = "01") -> None:
    """Have the kernel refuse to be written one of `digits`."""
    write = crypt_keys._write

    def refusing(root: Path, digit: str) -> None:
        if digit in digits:
            raise OSError(number, os.strerror(number))
        write(root, digit)

    monkeypatch.setattr(crypt_keys, "_write", refusing)


def test_keys_are_reused_meanwhile_and_not_afterwards(tmp_path: Path, switch: Path) -> None:
    with reused(tmp_path):
        assert switch.read_text() == "1"
    assert switch.read_text() == "0"


def test_a_failure_puts_it_back_too(tmp_path: Path, switch: Path) -> None:
    with pytest.raises(RuntimeError), reused(tmp_path):
        raise RuntimeError
    assert switch.read_text() == "0"


def test_what_somebody_has_switched_on_stays_on(tmp_path: Path, switch: Path) -> None:
    switch.write_text("1\n")
    with reused(tmp_path):
        assert switch.read_text() == "1\n"
    assert switch.read_text() == "1\n"


def test_a_kernel_without_it_is_left_alone(tmp_path: Path) -> None:
    with reused(tmp_path):
        pass
    assert not (tmp_path / REUSE).exists()


def test_a_kernel_that_has_no_keys_to_reuse_is_not_complained_about(
    tmp_path: Path, switch: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    refuse(monkeypatch, errno.EINVAL)
    with reused(tmp_path):
        pass
    assert said == []


@pytest.mark.parametrize(("digit", "words"), [("1", "may be lost"), ("0", "reuse stays 1")])
def test_any_other_refusal_is_said_and_hinders_nothing(
    tmp_path: Path,
    switch: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: list[str],
    *,
    digit: str,
    words: str,
) -> None:
    refuse(monkeypatch, errno.EPERM, digit)
    with reused(tmp_path):
        pass
    assert words in said[0]
    assert "Operation not permitted" in said[0]


def test_what_a_killed_helper_has_left_on_is_switched_off_by_the_next(tmp_path: Path, switch: Path) -> None:
    switch.write_text("1\n")
    disable(tmp_path)
    assert switch.read_text() == "0"
    disable(tmp_path)
    assert switch.read_text() == "0"


def test_there_may_be_nothing_to_switch_off_any_more(tmp_path: Path, said: list[str]) -> None:
    disable(tmp_path)
    assert said == []
    assert not (tmp_path / REUSE).exists()


def test_a_switch_that_cannot_be_read_is_no_reason_not_to_ask(tmp_path: Path) -> None:
    (tmp_path / REUSE).mkdir(parents=True)
    assert properties(tmp_path) == ()
