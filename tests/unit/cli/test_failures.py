# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever goes wrong while a verb answers: a sentence, and an exit status that is documented."""

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from kdumphpd.cli import exits, facts, output
from kdumphpd.cli.output import Json
from kdumphpd.runtime import RECORD
from tests.unit.cli import machines

# kdumphpctl on a machine of the test's.
PROGRAM = """
import sys
from pathlib import Path
from kdumphpd import cli
cli.Path = lambda _: Path({root!r})
{before}
cli.main()
"""


def command(root: Path, *words: str, before: str = "") -> list[str]:
    return [sys.executable, "-c", PROGRAM.format(root=str(root), before=before), *words]


def shell(root: Path, line: str, *words: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """`line` is a shell's, with "$@" for the command."""
    return subprocess.run(
        ["bash", "-c", line, "bash", *command(root, *words, before=before)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


BROKEN = "from kdumphpd.cli import facts\ndef broken(*_): raise RuntimeError('no | such thing')\nfacts.read = broken"


@pytest.mark.parametrize(("verb", "expected"), [("status", exits.UNKNOWN), ("check", exits.CHECK_UNKNOWN)])
def test_what_nobody_has_foreseen_is_a_sentence(verb: str, expected: int, tmp_path: Path) -> None:
    done = shell(tmp_path, '"$@"', verb, before=BROKEN)
    assert done.returncode == expected
    assert done.stderr.startswith("kdumphpctl: it failed unexpectedly: RuntimeError: no | such thing (in broken, ")
    assert len(done.stderr.splitlines()) == 1
    lines = done.stdout.splitlines()
    assert len(lines) == (verb == "check")
    assert all(line.startswith("KDUMP UNKNOWN - ") and "|" not in line for line in lines)


@pytest.mark.parametrize("words", [["--nonsense"], ["--stopped=never"], ["--stopped"], ["now"], ["--json=xml"]])
def test_a_wrong_call_of_check_is_unknown_and_no_alarm(words: list[str], tmp_path: Path) -> None:
    done = shell(tmp_path, '"$@"', "check", *words)
    assert done.returncode == exits.CHECK_UNKNOWN
    assert done.stderr.startswith("usage: kdumphpctl ")
    assert done.stdout in ("", "KDUMP UNKNOWN - wrong usage; see kdumphpctl check --help\n")


@pytest.mark.parametrize("verb", ["status", "check", "explain"])
@pytest.mark.parametrize("where", [">&-", ">&- 2>&-", "2>&-", "<&- >&- 2>&-", "| true", "2>&1 | true", "| head -c1"])
def test_the_exit_status_is_the_answers_whoever_reads_it(verb: str, where: str, tmp_path: Path) -> None:
    machines.armed(tmp_path)
    done = shell(tmp_path, f'"$@" {where}; exit ${{PIPESTATUS[0]}}', verb)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_exit_status_of_a_long_answer_is_the_answers_too(tmp_path: Path) -> None:
    machines.armed(tmp_path)
    long = "from kdumphpd.cli import output, status\nstatus.lines = lambda *_: ['x' * 70] * 9000"
    done = shell(tmp_path, '"$@" | head -1; exit ${PIPESTATUS[0]}', "status", before=long)
    assert (done.returncode, done.stdout, done.stderr) == (0, "x" * 70 + "\n", "")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["status", "--help"]])
def test_help_that_nobody_reads_is_no_complaint(words: list[str], tmp_path: Path) -> None:
    done = shell(tmp_path, '"$@" | true; exit ${PIPESTATUS[0]}', *words)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [(["status"], 4), (["check"], 3), (["explain", "-j"], 4), (["--help"], 4), (["--version"], 4)],
)
def test_an_answer_that_cannot_be_written_is_told(words: list[str], expected: int, tmp_path: Path) -> None:
    machines.armed(tmp_path)
    done = shell(tmp_path, '"$@" >/dev/full', *words)
    assert done.returncode == expected
    assert done.stderr == "kdumphpctl: cannot write the answer: No space left on device\n"


AGAIN = "from kdumphpd.cli import watch\nwatch.changes = lambda *_: [watch.Seen(1.0, 'armed', 'x')] * 99999"


def test_watch_ends_with_its_reader(tmp_path: Path) -> None:
    machines.armed(tmp_path)
    done = shell(tmp_path, 'timeout 50 "$@" 2>&1 | sleep 0; exit ${PIPESTATUS[0]}', "watch", before=AGAIN)
    assert (done.returncode, done.stderr) == (0, "")


def on_a_terminal(root: Path, words: list[str], before: str = "", **environment: str) -> tuple[int, str]:
    """What is seen on a terminal of 24 lines, and the exit status."""
    ours, theirs = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    process = subprocess.Popen(
        command(root, *words, before=before),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**clean, "TERM": "dumb", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", **environment},
    )
    os.close(theirs)
    said = b""
    try:
        while select.select([ours], [], [], 60)[0] and (data := os.read(ours, 65536)):
            said += data
    except OSError:  # nobody is left at the other end
        pass
    os.close(ours)
    process.kill()  # it has ended, or waits for a key
    return process.wait(60), said.decode("utf-8", "replace")


LONG = "from kdumphpd.cli import status\nstatus.lines = lambda *_: ['\\xfcmlaut \\udcff %d' % n for n in range(60)]"


@pytest.mark.parametrize(
    "environment",
    [
        {"PAGER": 'less "'},
        {"SYSTEMD_PAGER": "more 'x"},
        {"PAGER": "/no/such/pager"},
        {"PAGER": "cat -", "PYTHONUTF8": "0"},
        {"PAGER": "cat -", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"},
    ],
)
def test_no_pager_and_no_locale_takes_the_answer_away(environment: dict[str, str], tmp_path: Path) -> None:
    machines.armed(tmp_path)
    (tmp_path / "less").write_text("#!/bin/sh\nexec cat\n")  # the real one would wait for a key
    (tmp_path / "less").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    status, said = on_a_terminal(tmp_path, ["status"], LONG, PATH=path, **environment)
    assert status == 0
    assert "mlaut" in said
    assert "Traceback" not in said
    assert "59" in said


def test_ctrl_c_is_the_pagers(tmp_path: Path) -> None:
    machines.armed(tmp_path)
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\ntrap 'echo interrupted' INT\nkill -INT $PPID $$\ncat >/dev/null\necho ended\n")
    pager.chmod(0o755)
    status, said = on_a_terminal(tmp_path, ["status"], LONG, PAGER=str(pager))
    assert (status, said.split()) == (0, ["interrupted", "ended"])


def test_the_journal_is_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "journalctl").write_text("#!/bin/sh\necho complaint >&2; exit 1\n")
    (tmp_path / "journalctl").chmod(0o755)
    nowhere = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/proc']"
    for verb in ("history", "plot"):
        done = shell(tmp_path, f'PATH={tmp_path}:$PATH; "$@"', verb, before=nowhere)
        assert (done.returncode, done.stderr) == (4, "kdumphpctl: journalctl failed: complaint\n")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_record_with_what_is_no_number_is_none(number: str, tmp_path: Path) -> None:
    machines.armed(tmp_path)
    record = tmp_path / RECORD
    assert facts.last_load(tmp_path) is not None
    content = json.loads(record.read_text().strip("\0 "))
    text = json.dumps({**content, "unprotected": "HERE"}).replace('"HERE"', number)
    record.write_text(text)
    assert facts.last_load(tmp_path) is None
    done = shell(tmp_path, '"$@"', "status", "--json")
    json.loads(done.stdout, parse_constant=pytest.fail)


@pytest.mark.parametrize("mode", [Json.SHORT, Json.PRETTY, Json.AUTO])
def test_no_json_has_a_number_that_is_none(mode: Json) -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            output.as_json(mode, {"a": value})


def test_watch_is_a_line_an_object_on_a_terminal_too(tmp_path: Path) -> None:
    machines.armed(tmp_path)
    once = "from kdumphpd.cli import watch\ndef stop(_): raise KeyboardInterrupt\nwatch.time.sleep = stop"
    for words, lines in ((["watch", "--json"], 1), (["watch", "-j"], 1), (["watch", "--json=pretty"], 6)):
        status, said = on_a_terminal(tmp_path, words, once)
        assert (status, len(said.splitlines())) == (0, lines)
        assert json.loads(said)["condition"] == "armed"
