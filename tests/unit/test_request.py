# SPDX-License-Identifier: GPL-2.0-or-later
"""One request to root's part: its line, its turn, its configuration, its answer."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdumphpd import memo, rearm
from kdumphpd.config import ADMIN_FILE, Config, ConfigError
from kdumphpd.lock import locked
from kdumphpd.protocol import MAX_LINE, Outcome, Progress, ProtocolError, Result, Verb, decode, encode
from tests.unit.trees import kept_current, put


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Root's end and the client's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10)
        theirs.settimeout(10)
        yield ours, theirs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return kept_current(tmp_path)


def test_a_request_is_read_to_the_end_of_its_line(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(b"ver")
    theirs.sendall(b"ify\n")
    assert rearm.read_line(ours) == b"verify\n"


@pytest.mark.parametrize("request_", [b"", b"verify"])
def test_a_client_that_goes_before_the_line_ends_has_asked_nothing(
    pair: tuple[socket.socket, socket.socket], request_: bytes
) -> None:
    ours, theirs = pair
    theirs.sendall(request_)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(ProtocolError, match="not a line"):
        rearm.read_line(ours)


def test_a_request_beyond_the_limit_is_not_read_further(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(b"x" * (MAX_LINE + 1) + b"\n")
    with pytest.raises(ProtocolError, match="not a line"):
        rearm.read_line(ours)


def test_a_client_that_says_nothing_does_not_keep_the_place(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, _ = pair
    monkeypatch.setattr(rearm, "REQUEST_TIMEOUT", 0.1)
    with pytest.raises(TimeoutError):
        rearm.read_line(ours)


def test_one_that_says_a_byte_now_and_then_does_not_either(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pair
    monkeypatch.setattr(rearm, "REQUEST_TIMEOUT", 0.5)
    stopped = threading.Event()

    def drip() -> None:
        while not stopped.wait(0.1):
            theirs.send(b"x")

    dripper = threading.Thread(target=drip)
    dripper.start()
    try:
        with pytest.raises(TimeoutError):
            rearm.read_line(ours)
    finally:
        stopped.set()
        dripper.join()


@pytest.mark.parametrize("request_", [b"reboot\n", b"rearm --force\n", b"\xff\n", b"rearm\nrearm\n"])
def test_what_is_no_verb_is_refused_in_an_answer(
    pair: tuple[socket.socket, socket.socket], tmp_path: Path, request_: bytes
) -> None:
    ours, theirs = pair
    theirs.sendall(request_)
    result = rearm.answer(ours, tmp_path)
    assert result.outcome is Outcome.REFUSED
    assert "known: verify, rearm" in result.detail


def test_silence_is_refused_in_an_answer(
    pair: tuple[socket.socket, socket.socket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, _ = pair
    monkeypatch.setattr(rearm, "REQUEST_TIMEOUT", 0.1)
    assert rearm.answer(ours, tmp_path).outcome is Outcome.REFUSED


def test_a_client_that_went_away_stops_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.close()
    rearm.send(ours, Progress(step="reading"))
    rearm.send(ours, Result(outcome=Outcome.CURRENT))


def test_a_client_that_does_not_read_stops_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    ours.settimeout(0.05)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    for _ in range(3):
        rearm.send(ours, Result(outcome=Outcome.FAILED, detail="x" * 60000))


def test_a_configuration_in_error_fails_the_request_and_says_whether_an_image_is_there(
    pair: tuple[socket.socket, socket.socket], root: Path
) -> None:
    ours, theirs = pair
    put(root, {ADMIN_FILE: "[storm]\nquiet = 0\n"})
    theirs.sendall(b"rearm\n")
    result = rearm.answer(ours, root)
    assert result.outcome is Outcome.FAILED
    assert result.armed
    assert "storm.quiet is 0" in result.detail


def test_a_file_in_error_leaves_the_last_good_configuration_in_force(
    pair: tuple[socket.socket, socket.socket], root: Path
) -> None:
    ours, theirs = pair
    put(root, {ADMIN_FILE: '[verify]\nimage = "never"\n[reload]\ncommand = ["/bin/true", "-x"]\n'})
    right = rearm.configuration(root)
    assert right.reload.command == ("/bin/true", "-x")
    put(root, {ADMIN_FILE: "[storm]\nquiet = 0\n"})
    assert rearm.configuration(root) == right
    theirs.sendall(b"rearm\n")
    assert rearm.answer(ours, root).outcome is Outcome.TRUSTED
    (root / ADMIN_FILE).unlink()
    assert rearm.configuration(root) == Config()


@pytest.mark.parametrize("text", ["", "[]", '{"storm": 1}', '{"storm": {"quiet": -1}}', '{"other": {}}'])
def test_what_was_noted_of_it_and_is_not_right_is_not_taken(root: Path, text: str) -> None:
    put(root, {ADMIN_FILE: "[storm]\nquiet = 0\n", memo.CONFIGURATION: text})
    with pytest.raises(ConfigError, match=r"storm\.quiet is 0"):
        rearm.configuration(root)


def test_while_another_request_has_its_turn_this_one_waits(
    pair: tuple[socket.socket, socket.socket], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pair
    monkeypatch.setattr(rearm, "TURN_TIMEOUT", 0.2)
    theirs.sendall(b"rearm\n")
    with locked(root / memo.TURN, 1):
        result = rearm.answer(ours, root)
    assert (result.outcome, result.armed) == (Outcome.FAILED, True)
    assert "another request takes too long" in result.detail


def test_the_steps_of_a_rearm_reach_the_client(pair: tuple[socket.socket, socket.socket], root: Path) -> None:
    ours, theirs = pair
    theirs.sendall(b"rearm\n")
    rearm.send(ours, rearm.answer(ours, root))
    ours.close()
    messages = [decode(line) for line in theirs.makefile("rb")]
    assert messages[0] == Progress(step="reading the loaded image")
    assert isinstance(messages[-1], Result)


# --- the whole program ------------------------------------------------------------------------------------


def test_started_with_a_connection_as_standard_input_it_answers_and_exits() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(30)
        theirs.sendall(b"sing\n")
        done = subprocess.run(
            [sys.executable, "-m", "kdumphpd.rearm"], stdin=ours.fileno(), capture_output=True, timeout=60, check=True
        )
        ours.close()
        answer = json.loads(theirs.makefile("rb").read())
    assert (answer["kind"], answer["outcome"]) == ("result", "refused")
    assert b"refused a request" in done.stderr


@pytest.mark.skipif(not os.access("/proc/kcore", os.R_OK), reason="only root may read /proc/kcore")
def test_on_the_real_machine_verify_answers_and_changes_nothing() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(30)
        theirs.sendall(f"{Verb.VERIFY}\n".encode())
        subprocess.run(
            [sys.executable, "-m", "kdumphpd.rearm"], stdin=ours.fileno(), capture_output=True, timeout=60, check=True
        )
        ours.close()
        result = decode(theirs.makefile("rb").read())
    assert isinstance(result, Result)
    assert result.outcome in set(Outcome) - {Outcome.REFUSED, Outcome.FAILED}
    assert decode(encode(result)) == result
