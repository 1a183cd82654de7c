# SPDX-License-Identifier: GPL-2.0-or-later
import json
import os
import pty
import signal
import subprocess
import sys

import pytest

from kdumphpd.cli import exits, output
from kdumphpd.cli.output import Coloured, Json, Tone, field, render

HOSTILE = "\x1b]0;owned\x07\r\n\u202e"


@pytest.mark.parametrize(
    "words", [["dance"], ["--json=xml"], ["status", "--jso"], ["status", "now"], ["--nonsense"], ["rearm", "--now=1"]]
)
def test_bad_arguments_are_a_usage_line_and_2(words: list[str]) -> None:
    command = [sys.executable, "-c", "from kdumphpd.cli import main; main()", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (exits.USAGE, "")
    assert done.stderr.startswith("usage: kdumphpctl ")


def test_help_has_every_exit_status_once() -> None:
    assert [int(line.split()[0]) for line in exits.table().splitlines()[1:]] == [0, 1, 2, 3, 4]


def test_json_is_one_object_with_its_version_first(capsys: pytest.CaptureFixture[str]) -> None:
    for mode, lines in ((Json.SHORT, 1), (Json.AUTO, 1), (Json.PRETTY, 4)):
        output.show(output.options(json=mode), {"a": HOSTILE}, [])
        said = capsys.readouterr().out
        assert list(json.loads(said).items()) == [("schema", output.SCHEMA), ("a", HOSTILE)]
        assert len(said.splitlines()) == lines
        assert said.isascii()


def test_quiet_prints_nothing_but_errors(capsys: pytest.CaptureFixture[str]) -> None:
    options = output.options(quiet=True, json=Json.SHORT)
    output.show(options, {}, ["text"])
    output.note(options, "a step")
    output.fail("no answer")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "kdumphpctl: no answer\n")


def test_what_others_have_written_is_harmless_wherever_it_stands() -> None:
    lines: list[output.Line] = [
        HOSTILE,
        Coloured(HOSTILE, Tone.BAD),
        field(HOSTILE, HOSTILE, Coloured(HOSTILE, Tone.GOOD)),
    ]
    for width in (None, 80):
        assert all(line.isprintable() for line in render(lines, width=width))


def test_a_long_line_goes_on_below_its_beginning_on_a_terminal() -> None:
    line = field("label", Coloured("NO", Tone.BAD), ": " + "word " * 30)
    assert len(render([line])) == 1
    rows = render([line], width=80)
    assert all(len(row) <= 80 for row in rows)
    assert rows[1].startswith(" " * output.LABEL + "word")
    assert render([line], width=80, colour=True)[0].startswith(f"label         {Tone.BAD}NO{output.NORMAL}: word")


def test_a_program_gets_no_colour() -> None:
    assert render([Coloured("yes", Tone.GOOD)]) == ["yes"]


@pytest.mark.parametrize(
    ("environment", "colours"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_a_terminal_gets_colours_unless_they_are_not_wanted(environment: dict[str, str], colours: bool) -> None:
    script = "from kdumphpd.cli import output as o; o.show(o.options(), {}, [o.Coloured('yes', o.Tone.GOOD)])"
    ours, theirs = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    subprocess.run(
        [sys.executable, "-c", script],
        stdout=theirs,
        env={**clean, "TERM": "xterm", **environment},
        timeout=60,
        check=True,
    )
    os.close(theirs)
    said = os.read(ours, 100)
    os.close(ours)
    assert (b"\x1b[" in said) is colours


def test_a_reader_that_goes_away_is_no_error_of_ours() -> None:
    script = "from kdumphpd.cli import main; main()"
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [sys.executable, "-c", script, "status"], stdout=theirs, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(theirs)
    assert done.stderr == b""


def test_text_is_what_there_is_without_an_option() -> None:
    command = [sys.executable, "-c", "from kdumphpd.cli import main; main()"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("protected ")


def test_ctrl_c_ends_it_as_it_ends_any_program() -> None:
    script = """
import sys
from kdumphpd import cli
from kdumphpd.cli import status
def interrupted(options, root):
    raise KeyboardInterrupt
status.run = interrupted
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")
