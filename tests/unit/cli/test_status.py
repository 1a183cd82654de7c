# SPDX-License-Identifier: GPL-2.0-or-later
import dataclasses
import json
from pathlib import Path

import pytest

from kdumphpd.cli import exits, facts, output, status
from kdumphpd.cli.health import judge
from kdumphpd.cli.output import Json
from kdumphpd.kernel.limits import DISABLED
from kdumphpd.runtime import RECORD, STATE
from tests.unit.cli.machines import ARMED, BURST, CHECK, listening
from tests.unit.trees import kernel, put


def shown(root: Path, capsys: pytest.CaptureFixture[str], *, as_json: bool = False) -> tuple[int, list[str]]:
    """Exit status, and what is printed."""
    exit_status = status.run(output.options(json=Json.SHORT if as_json else Json.OFF), root)
    return exit_status, capsys.readouterr().out.splitlines()


def test_whether_the_machine_is_protected_comes_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listening(kernel(tmp_path))
    exit_status, lines = shown(tmp_path, capsys)
    assert exit_status == exits.ARMED
    assert lines[0] == "protected     yes"


def test_it_shows_what_is_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listening(
        kernel(tmp_path),
        healthy=False,
        receiving=False,
        burst=True,
        asking=True,
        pending=True,
        deferred_until=1_700_000_000.0,
        failure="kexec failed",
    )
    exit_status, lines = shown(tmp_path, capsys)
    assert exit_status == exits.WRONG
    labels = [line.split()[0] for line in lines if line[0] != " "]
    first = labels.index("pending")
    assert labels[first : first + 6] == ["pending", "deferred", "burst", "asking", "failure", "uevents"]
    assert "failure       kexec failed" in lines


@pytest.mark.parametrize(
    ("loaded", "healthy", "exit_status", "first"),
    [
        ("1\n", True, exits.ARMED, "yes"),
        ("1\n", False, exits.WRONG, "in part"),
        ("0\n", True, exits.NOT_LOADED, "NO"),
        ("0\n", False, exits.WRONG, "NO"),
        ("?\n", True, exits.UNKNOWN, "unknown"),
    ],
)
def test_the_exit_status_says_it_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], loaded: str, healthy: bool, exit_status: int, first: str
) -> None:
    listening(kernel(tmp_path, loaded=loaded), healthy=healthy)
    found, lines = shown(tmp_path, capsys)
    assert found == exit_status
    assert lines[0].startswith(f"protected     {first}")
    listening_as_json = shown(tmp_path, capsys, as_json=True)
    assert listening_as_json[0] == exit_status


@pytest.mark.parametrize("loaded", ["1\n", "0\n"])
def test_without_kdumphpd_nobody_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str], loaded: str) -> None:
    exit_status, lines = shown(kernel(tmp_path, loaded=loaded), capsys)
    assert exit_status == exits.UNKNOWN
    assert lines[0].startswith("protected     unknown" if loaded == "1\n" else "protected     NO")
    assert any(line.startswith("kdump image   loaded") for line in lines) == (loaded == "1\n")
    assert "kdumphpd is not running" in lines[-1]


@pytest.mark.parametrize("can_update", [True, False])
def test_nobody_is_said_to_reload_an_image_where_kdumphpd_does_not_run(tmp_path: Path, can_update: bool) -> None:
    root = kernel(tmp_path) if can_update else kernel(tmp_path, cpu=None, memory=None)
    put(root, {RECORD: '{"pending":null,"method":"","kernel_updates":false,"unprotected":0}'})
    found = facts.read(root, {})
    down = " ".join(output.render(status.lines(found, judge(found))))
    listening(root)
    found = facts.read(root, {})
    running = " ".join(output.render(status.lines(found, judge(found))))
    assert ("reloads" in down, "reloads" in running) == (False, True)


@pytest.mark.parametrize("can_update", [True, False])
def test_nobody_is_said_to_reload_an_image_where_the_kernel_loads_none(tmp_path: Path, can_update: bool) -> None:
    root = kernel(tmp_path) if can_update else kernel(tmp_path, cpu=None, memory=None)
    put(root, {RECORD: '{"pending":null,"method":"","kernel_updates":false,"unprotected":0}', DISABLED: "1\n"})
    listening(root)
    found = facts.read(root, {})
    said = "\n".join(output.render(status.lines(found, judge(found))))
    assert "kdumphpd reloads" not in said
    assert said.count(", and loads none any more") == 2


def test_a_state_of_something_else_is_no_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(kernel(tmp_path), {STATE: "{}"})
    exit_status, lines = shown(tmp_path, capsys)
    assert exit_status == exits.UNKNOWN
    assert "is not a state of this kdumphpd" in lines[-1]


def test_what_a_listener_may_write_does_no_harm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b]0;owned\x07\r\n\u202e"
    listening(
        kernel(tmp_path),
        status=hostile,
        started=-1e15,
        failure=hostile,
        last_check=dataclasses.replace(CHECK, when=9e15, outcome=hostile, method=hostile),
        last_burst=dataclasses.replace(BURST, ended=1e15, sentence=hostile),
        events=(1 << 64) - 1,
        unprotected=9e15,
    )
    _, lines = shown(tmp_path, capsys)
    assert all(line.isprintable() for line in lines)
    assert any("an unknown time" in line for line in lines)
    _, lines = shown(tmp_path, capsys, as_json=True)
    assert all(line.isprintable() for line in lines)


def test_numbers_that_are_none_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = json.dumps(dataclasses.asdict(dataclasses.replace(ARMED, unprotected=float("inf"))))
    put(kernel(tmp_path), {STATE: text})
    assert shown(tmp_path, capsys)[0] == exits.UNKNOWN


def test_fadump_is_shown_where_it_is_enabled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listening(kernel(tmp_path))
    put(tmp_path, {"sys/kernel/fadump/enabled": "1\n", "sys/kernel/fadump/registered": "0\n"})
    exit_status, lines = shown(tmp_path, capsys)
    assert exit_status == exits.NOT_LOADED
    assert "fadump        enabled, not registered" in lines


def test_as_json_it_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listening(kernel(tmp_path))
    exit_status, lines = shown(tmp_path, capsys, as_json=True)
    said = json.loads("\n".join(lines))
    assert exit_status == exits.ARMED
    assert said["loaded"] is True
    assert said["problem"] == ""
    assert said["fadump"] == {"enabled": False, "registered": False, "hotplug_ready": False}
    assert said["listener"] == dataclasses.asdict(ARMED)


def test_as_json_an_absent_listener_is_null(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exit_status, lines = shown(kernel(tmp_path), capsys, as_json=True)
    said = json.loads("\n".join(lines))
    assert exit_status == exits.UNKNOWN
    assert said["listener"] is None
    assert "not running" in said["problem"]
