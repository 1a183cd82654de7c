# SPDX-License-Identifier: GPL-2.0-or-later
"""A command line is taken as journalctl(1) takes its own, wherever the verb stands."""

from pathlib import Path

import pytest

from kdumphpd.cli import VERBS, main
from kdumphpd.cli.arguments import arrange


def test_the_verb_comes_first_wherever_it_stands() -> None:
    assert arrange(["-q", "verify", "--json"]) == ["verify", "-q", "--json=auto"]
    assert arrange(["rearm", "--now"]) == ["rearm", "--now"]
    assert arrange(["--since", "yesterday", "plot"]) == ["plot", "--since=yesterday"]
    assert arrange(["-n", "5", "history"]) == ["history", "--lines=5"]
    assert arrange(["-b", "history"]) == ["history", "-b"]
    assert arrange(["--stopped", "critical", "check"]) == ["check", "--stopped=critical"]


def test_no_verb_means_status() -> None:
    assert arrange([]) == ["status"]
    assert arrange(["-j"]) == ["status", "-j"]
    assert arrange(["--help"]) == ["--help"]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a journalctl of the test's own was called with, a word a line."""
    (tmp_path / "journalctl").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/asked\n')
    (tmp_path / "journalctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "asked"


@pytest.mark.parametrize("verb", ["history", "plot"])
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--since", "-30d"], ["--since=-30d"]),
        (["-S", "-30d"], ["--since=-30d"]),
        (["-S-30d", "-U-1h"], ["--since=-30d", "--until=-1h"]),
        (["-qS", "-30d"], ["--since=-30d"]),
        (["--since=-30d", "--until", "-1 hour"], ["--since=-30d", "--until=-1 hour"]),
        (["--since", ""], ["--since="]),
        (["--since", "--file=x"], ["--since=--file=x"]),
        (["--boot", "-1"], ["--boot=-1"]),
        (["-b", "-1"], ["--boot=-1"]),
        (["-b-1"], ["--boot=-1"]),
        (["-b", "all"], ["--boot=all"]),
        (["-b", "0123456789abcdef" * 2 + "-1"], ["--boot=" + "0123456789abcdef" * 2 + "-1"]),
        (["-b"], ["--boot"]),
        (["-b", "-q"], ["--boot"]),
        (["-n", "5"], ["--lines=5"]),
        (["-n5"], ["--lines=5"]),
        (["-n"], ["--lines"]),
        (["--lines", "all"], ["--lines=all"]),
    ],
)
@pytest.mark.parametrize("before", [True, False])
def test_a_value_may_begin_as_an_option_does(
    verb: str, words: list[str], expected: list[str], before: bool, asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = [*words, verb] if before else [verb, *words]
    monkeypatch.setattr("sys.argv", ["kdumphpctl", *line])
    with pytest.raises(SystemExit):
        main()
    chosen = ("--since", "--until", "--boot", "--lines")
    assert [word for word in asked.read_text().splitlines() if word.startswith(chosen)] == expected


def test_an_option_that_needs_a_value_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["plot", "--since"], ["history", "-S"], ["check", "--stopped"]):
        with pytest.raises(SystemExit), pytest.MonkeyPatch.context() as changed:
            changed.setattr("sys.argv", ["kdumphpctl", *words])
            main()
        assert "expected one argument" in capsys.readouterr().err


def test_no_verb_is_called_as_a_value() -> None:
    """A verb after an option whose value is optional is the verb."""
    for verb in VERBS:
        assert arrange(["-b", verb]) == [verb, "-b"]
        assert arrange(["-n", verb]) == [verb, "-n"]
