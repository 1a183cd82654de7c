# SPDX-License-Identifier: GPL-2.0-or-later
"""packaging/libexec/record-kexec, by itself."""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kdumphpd.load.recording import FOLDER, RECORDER, calls

SOURCE = Path(__file__).parents[3] / "packaging/libexec/record-kexec"
SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]


@pytest.fixture(params=SHELLS)
def recorder(tmp_path: Path, request: pytest.FixtureRequest) -> list[str]:
    """It records in a folder of the test's, where the true kexec says how it was called."""
    program = tmp_path / "record-kexec"
    program.write_text(SOURCE.read_text().replace(f"/{FOLDER}", str(tmp_path)))
    kexec = tmp_path / "kexec"
    kexec.write_text('#!/bin/sh\necho "true kexec: $*"\nexit 1\n')
    kexec.chmod(0o755)
    return [request.param, str(program)]


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def recorded(folder: Path) -> list[list[str]]:
    try:
        return list(calls((folder / "calls").read_bytes()))
    except FileNotFoundError:
        return []


def test_a_call_is_written_down_and_nothing_is_done(recorder: list[str], tmp_path: Path) -> None:
    hard = ["-p", "", "a b", "x\ny", "--append=quiet $HOME `id` %s \\0 \\n", "-n", "ü", "*"]
    done = run(*recorder, *hard)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert recorded(tmp_path) == [hard]


def test_calls_are_written_one_after_the_other(recorder: list[str], tmp_path: Path) -> None:
    for words in (["-p", "-u"], [], ["-p", "/k"]):
        assert run(*recorder, *words).returncode == 0
    assert recorded(tmp_path) == [["-p", "-u"], [], ["-p", "/k"]]


def test_two_at_once_do_not_mix(recorder: list[str], tmp_path: Path) -> None:
    sent = [["-p", f"--append={letter * 20_000}", "/k"] for letter in "abcdefgh"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda words: run(*recorder, *words), sent))
    assert sorted(recorded(tmp_path)) == sent


@pytest.mark.parametrize("words", ["-v", "--version", "-h", "--help", "-S", "--status", "-p -S", "--status -p -d"])
def test_questions_go_to_the_true_kexec_with_its_answer_and_status(
    recorder: list[str], tmp_path: Path, words: str
) -> None:
    done = run(*recorder, *words.split())
    assert (done.returncode, done.stdout) == (1, f"true kexec: {words}\n")
    assert recorded(tmp_path) == []


@pytest.mark.parametrize(
    "words",
    ["-e", "-v -e", "-S -e", "-e --version", "--exec -S", "-f -v", "-vS -e", "-p -u -v", "-S /k", "-p", "--st"],
)
def test_nothing_that_could_do_something_is_passed_on(recorder: list[str], tmp_path: Path, words: str) -> None:
    done = run(*recorder, *words.split())
    assert (done.returncode, done.stdout) == (0, "")
    assert recorded(tmp_path) == [words.split()]


def test_where_it_stands_in_for_itself_it_does_not_go_on_for_ever(recorder: list[str], tmp_path: Path) -> None:
    (tmp_path / "kexec").write_text((tmp_path / "record-kexec").read_text())
    done = run(*recorder, "-v")
    assert done.returncode == 1
    assert "is not kexec" in done.stderr


def test_a_call_that_cannot_be_written_down_has_failed(recorder: list[str], tmp_path: Path) -> None:
    (tmp_path / "calls").mkdir()
    done = run(*recorder, "-p", "/k")
    assert done.returncode == 1
    assert f"kexec: cannot record this call in {tmp_path}/calls" in done.stderr


def test_it_is_a_program_and_named_after_where_it_is_installed() -> None:
    assert SOURCE.stat().st_mode & 0o111
    assert Path(RECORDER).name == SOURCE.name
    assert f"folder=/{FOLDER}\n" in SOURCE.read_text()


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_finds_nothing_wrong() -> None:
    done = run("shellcheck", str(SOURCE))
    assert done.returncode == 0, done.stdout
