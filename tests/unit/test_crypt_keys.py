# SPDX-License-Identifier: GPL-2.0-or-later
import errno
import os
from pathlib import Path

import pytest

from kdumphpd import memo, rearm
from kdumphpd.config import Config, Loader, ReloadConfig, Verify, VerifyConfig
from kdumphpd.protocol import Outcome
from kdumphpd.reload import crypt_keys
from kdumphpd.reload.crypt_keys import REUSE, reused
from tests.unit.apart import run_here
from tests.unit.trees import CRASH_LOADED, kernel, put


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
    tmp_path: Path, switch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(monkeypatch, errno.EINVAL)
    with reused(tmp_path):
        pass
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("digit", "words"), [("1", "may be lost"), ("0", "reuse stays 1")])
def test_any_other_refusal_is_said_and_hinders_nothing(
    tmp_path: Path,
    switch: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    digit: str,
    words: str,
) -> None:
    refuse(monkeypatch, errno.EPERM, digit)
    with reused(tmp_path):
        pass
    said = capsys.readouterr().out
    assert words in said
    assert "Operation not permitted" in said


@pytest.mark.parametrize(("status", "outcome"), [(0, Outcome.RELOADED), (1, Outcome.FAILED)])
def test_a_loader_sees_it_on_and_the_machine_has_it_off_again(
    tmp_path: Path, switch: Path, monkeypatch: pytest.MonkeyPatch, status: int, outcome: Outcome
) -> None:
    run_here(tmp_path, monkeypatch)
    put(kernel(tmp_path, cpu="0\n", memory="0\n"), {"dev/kmsg": ""})
    (tmp_path / memo.FOLDER).mkdir(parents=True)
    script = f"cp {switch} {tmp_path}/seen; echo {1 - status} >{tmp_path}/{CRASH_LOADED}; exit {status}"
    settings = ReloadConfig(loader=Loader.COMMAND, command=("/bin/sh", "-c", script))
    result = rearm.rearm(
        tmp_path, Config(reload=settings, verify=VerifyConfig(image=Verify.NEVER)), lambda step: None
    )
    assert result.outcome is outcome
    assert (tmp_path / "seen").read_text() == "1"
    assert switch.read_text() == "0"
