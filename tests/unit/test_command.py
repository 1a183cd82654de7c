# SPDX-License-Identifier: GPL-2.0-or-later
from pathlib import Path

import pytest

from kdumphpd.config import Config, Loader, ReloadConfig
from kdumphpd.reload import command
from kdumphpd.reload.run import LoadFailed
from kdumphpd.reload.way import Method
from tests.unit.apart import run_here


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_here(tmp_path, monkeypatch)


def config(*argv: str) -> Config:
    return Config(reload=ReloadConfig(loader=Loader.COMMAND, command=argv))


def program(folder: Path, body: str) -> str:
    path = folder / "load"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_program_and_arguments_are_taken_word_by_word_and_no_shell_sees_them(tmp_path: Path) -> None:
    load = program(tmp_path, f'printf "<%s>" "$@" >{tmp_path}/calls')
    [way] = command.ways(tmp_path, config(load, "a b", "$HOME; reboot", "*", ""))
    assert (way.name, way.method, way.kernel) == (load, Method.OWN, None)
    with command.lock(tmp_path, config(load)):
        way.load(30)
    assert (tmp_path / "calls").read_text() == "<a b><$HOME; reboot><*><>"


def test_a_busy_kernel_is_tried_again(tmp_path: Path) -> None:
    third = f'[ "$(wc -l <{tmp_path}/calls)" = 3 ]'
    body = f"echo >>{tmp_path}/calls; {third} || {{ echo Device or resource busy; exit 1; }}"
    [way] = command.ways(tmp_path, config(program(tmp_path, body)))
    way.load(30)
    assert (tmp_path / "calls").read_text() == "\n\n\n"


def test_its_failure_is_told_in_its_words(tmp_path: Path) -> None:
    [way] = command.ways(tmp_path, config(program(tmp_path, "echo no kernel here; exit 3")))
    with pytest.raises(LoadFailed, match="failed with status 3: no kernel here"):
        way.load(30)


def test_without_one_the_operator_is_told_where_to_set_it(tmp_path: Path) -> None:
    assert not command.is_installed(tmp_path, config())
    with pytest.raises(LoadFailed, match=r"set command in \[reload\] to a program and its arguments"):
        command.ways(tmp_path, config())
