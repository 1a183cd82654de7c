# SPDX-License-Identifier: GPL-2.0-or-later
import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kdumphpd import __version__, state
from kdumphpd.cli import VERBS, rearm, status, verify
from tests.unit.test_state import STORM
from tests.unit.trees import kernel, put


def known(root: Path, *, healthy: bool = True, text: str = "Armed; the kernel keeps the image current") -> None:
    """What a running kdumphpd has written."""
    (root / state.STATE).parent.mkdir(parents=True)
    state.write(
        root,
        state.State(
            started=1_600_000_000.0,
            status=text,
            healthy=healthy,
            receive_buffer=1 << 20,
            events=7,
            synthetic=3,
            overflows=2,
            storms=5,
            reloads=4,
            failures=1,
            unprotected=1.25,
            last=STORM,
        ),
    )


def status_of(root: Path, *, as_json: bool = False) -> int:
    return status.run(argparse.Namespace(json=as_json), root)


# --- status -----------------------------------------------------------------------------------------------


def test_armed_is_exit_status_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known(kernel(tmp_path))
    assert status_of(tmp_path) == status.ARMED
    said = capsys.readouterr().out
    assert "kdump image   loaded" in said
    assert "Armed; the kernel keeps the image current" in said
    assert "7 (3 synthetic, 2 overflows)" in said
    assert "5 answered, 1 of them in vain" in said
    assert "CPU 1 came: the kernel updated the kdump image itself" in said


def test_an_image_that_is_wrong_is_exit_status_1(tmp_path: Path) -> None:
    known(kernel(tmp_path), healthy=False)
    assert status_of(tmp_path) == status.WRONG


def test_no_image_is_exit_status_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known(kernel(tmp_path, loaded="0\n"))
    assert status_of(tmp_path) == status.NOT_LOADED
    assert "not loaded" in capsys.readouterr().out


def test_an_image_that_is_missing_against_the_operators_wish_is_wrong(tmp_path: Path) -> None:
    known(kernel(tmp_path, loaded="0\n"), healthy=False)
    assert status_of(tmp_path) == status.WRONG


def test_without_kdumphpd_the_image_is_told_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kernel(tmp_path)
    assert status_of(tmp_path) == status.NOT_RUNNING
    said = capsys.readouterr().out
    assert "kdump image   loaded" in said
    assert "kdumphpd is not running" in said


def test_what_cannot_be_told_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known(kernel(tmp_path, loaded="?\n"))
    assert status_of(tmp_path) != status.ARMED
    assert "cannot tell whether an image is loaded" in capsys.readouterr().out


def test_a_state_of_something_else_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(kernel(tmp_path), {state.STATE: "{}"})
    assert status_of(tmp_path) == status.NOT_RUNNING
    assert "is not a state of this kdumphpd" in capsys.readouterr().out


def test_fadump_is_shown_where_it_is_enabled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known(kernel(tmp_path))
    put(tmp_path, {"sys/kernel/fadump/enabled": "1\n", "sys/kernel/fadump/registered": "0\n"})
    status_of(tmp_path)
    assert "enabled, not registered" in capsys.readouterr().out


def test_as_json_it_is_one_object_with_the_same_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known(kernel(tmp_path), healthy=False)
    assert status_of(tmp_path, as_json=True) == status.WRONG
    said = json.loads(capsys.readouterr().out)
    assert said["loaded"] is True
    assert said["problem"] == ""
    assert said["fadump"] == {"enabled": False, "registered": False, "hotplug_ready": False}
    assert said["listener"]["last"]["sentence"].startswith("CPU 1 came")


def test_as_json_an_absent_listener_is_null(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(kernel(tmp_path), as_json=True) == status.NOT_RUNNING
    said = json.loads(capsys.readouterr().out)
    assert said["listener"] is None
    assert "not running" in said["problem"]


# --- verify and rearm -------------------------------------------------------------------------------------


def test_verify_tells_no_image_by_its_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.run(argparse.Namespace(json=False), kernel(tmp_path, loaded="0\n")) == 3
    assert capsys.readouterr().out == "no image: no kdump image is loaded\n"


def test_verify_tells_an_image_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.run(argparse.Namespace(json=True), kernel(tmp_path)) == 2
    assert json.loads(capsys.readouterr().out)["state"] == "unreadable"


def test_rearm_says_that_it_needs_root_or_that_nobody_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rearm.run(argparse.Namespace(), tmp_path) == 1
    said = capsys.readouterr().err
    assert ("cannot talk to the rearm step" if os.geteuid() == 0 else "has to be run as root") in said


# --- the command ------------------------------------------------------------------------------------------


def kdumphpctl(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from kdumphpd.cli import main; main()", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_tells_its_version_and_its_verbs() -> None:
    assert kdumphpctl("--version").stdout == f"kdumphpctl {__version__}\n"
    said = kdumphpctl("--help").stdout
    assert all(verb in said for verb in VERBS)


def test_an_unknown_verb_is_refused() -> None:
    assert kdumphpctl("dance").returncode == 2


def test_every_verb_has_help_of_one_sentence() -> None:
    for verb in VERBS:
        assert kdumphpctl(verb, "--help").returncode == 0
