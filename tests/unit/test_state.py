# SPDX-License-Identifier: GPL-2.0-or-later
import os
from pathlib import Path

import pytest

from kdumphpd import state
from kdumphpd.state import STATE, LastStorm, State, StateError
from tests.unit.trees import put

STORM = LastStorm(
    ended=1_700_000_000.5,
    sentence="CPU 1 came: the kernel updated the kdump image itself",
    events=1,
    action="kernel",
    reason="kernel-updates",
    outcome="current",
    seconds=0.0,
    unprotected=0.0,
    stale=0.0,
)


def some_state(last: LastStorm | None = STORM) -> State:
    return State(started=1.0, status="Armed", healthy=True, receive_buffer=4096, events=3, last=last)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / STATE).parent.mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("last", [STORM, None])
def test_what_was_written_is_read(root: Path, last: LastStorm | None) -> None:
    state.write(root, some_state(last))
    assert state.read(root) == some_state(last)


def test_writing_replaces_in_one_step_and_leaves_nothing_beside_it(root: Path) -> None:
    state.write(root, some_state())
    with (root / STATE).open() as reader:
        state.write(root, some_state(None))
        assert '"sentence"' in reader.read()  # whoever was reading reads the old one to its end
    assert [path.name for path in (root / STATE).parent.iterdir()] == ["state.json"]


def test_no_state_file_means_that_kdumphpd_does_not_run(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"state\.json is missing: kdumphpd is not running"):
        state.read(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "[]", "null", "{}", '{"started": 1}', '{"x": 1}', "\x00", "[" * 100000, "1" * 5000],
)
def test_a_file_of_something_else_is_no_state(root: Path, text: str) -> None:
    put(root, {STATE: text})
    with pytest.raises(StateError, match="is not a state of this kdumphpd"):
        state.read(root)


def test_a_field_of_the_wrong_kind_is_no_state(root: Path) -> None:
    state.write(root, some_state())
    text = (root / STATE).read_text()
    put(root, {STATE: text.replace('"events": 3', '"events": "many"')})
    with pytest.raises(StateError):
        state.read(root)


def test_a_folder_in_its_place_is_said(root: Path) -> None:
    (root / STATE).mkdir()
    with pytest.raises(StateError, match=r"cannot read .*: Is a directory"):
        state.read(root)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_state_that_may_not_be_read_is_said(root: Path) -> None:
    put(root, {STATE: "{}"})
    (root / STATE).chmod(0)
    with pytest.raises(StateError, match="Permission denied"):
        state.read(root)


def test_a_state_that_cannot_be_written_is_an_error_for_the_caller(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        state.write(tmp_path, some_state())
