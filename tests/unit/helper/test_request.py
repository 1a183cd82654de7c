# SPDX-License-Identifier: GPL-2.0-or-later
"""One request to the helper, apart from what it does about an image."""

import contextlib
import os
import socket
import threading
from pathlib import Path

import pytest

from kdumphpd import journal
from kdumphpd.helper import record, request
from kdumphpd.helper.lock import request_lock
from kdumphpd.helper.record import Pending, Record
from kdumphpd.helper.system import RealSystem
from kdumphpd.protocol import Outcome, Progress, Request, Result, decode
from kdumphpd.runtime import RECORD
from tests.unit.trees import CRASH_LOADED, helper_folder, put

UNREAD = '[verify]\nimage = "never"\n[events]\nsettle_time = 2\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path, {"etc/kdumphpd.toml": UNREAD})
    return helper_folder(tmp_path)


def ask(root: Path, word: bytes) -> tuple[Result, list[str]]:
    """The helper's answer to what a client says, and the progress before it."""
    here, there = socket.socketpair()
    with here, there:
        here.sendall(word)
        here.shutdown(socket.SHUT_WR)
        result = request.answer(there, root)
        request.send(there, result)
        there.close()
        data = b""
        while piece := here.recv(65536):
            data += piece
    messages = [decode(line) for line in data.splitlines()]
    assert messages[-1] == result
    return result, [message.step for message in messages[:-1] if isinstance(message, Progress)]


def test_a_check_is_answered_with_progress_and_what_the_listener_needs_of_the_configuration(root: Path) -> None:
    result, steps = ask(root, b"check\n")
    assert result.outcome is Outcome.UNVERIFIED
    assert steps[0] == "reading the loaded image"
    assert result.settings is not None
    assert result.settings.settle_time == 2
    assert (root / RECORD).exists()


@pytest.mark.parametrize("word", [b"", b"chec", b"check", b"check check\n", b"reboot\n", b"\xff\n", b"x" * 200_000])
def test_what_is_no_request_is_refused(root: Path, word: bytes) -> None:
    here, there = socket.socketpair()
    with here, there:

        def send() -> None:
            with contextlib.suppress(BrokenPipeError):  # it need not read to the end what is no request
                here.sendall(word)
                here.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        assert request.answer(there, root).outcome is Outcome.REFUSED
        there.close()
        sender.join()
    assert not (root / RECORD).exists()


@pytest.mark.parametrize("word", [Request.REARM, Request.REARM_NOW])
def test_what_is_for_root_alone_is_refused_to_others(
    root: Path, word: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "_peer", lambda client: 65534)
    result, _ = ask(root, f"{word}\n".encode())
    assert result.outcome is Outcome.REFUSED
    monkeypatch.setattr(request, "_peer", lambda client: 0)
    result, _ = ask(root, f"{word}\n".encode())
    assert result.outcome is Outcome.UNVERIFIED


def test_the_peer_is_who_has_connected() -> None:
    here, there = socket.socketpair()
    with here, there:
        assert request._peer(there) == os.geteuid()


def test_while_another_is_at_work_a_request_is_told_to_come_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "request_lock", lambda root: request_lock(root, patience=0.05))
    lock = request_lock(root)
    result, _ = ask(root, b"check\n")
    assert (result.outcome, result.armed) == (Outcome.BUSY, True)
    lock.release()
    assert ask(root, b"check\n")[0].outcome is Outcome.UNVERIFIED


def test_a_configuration_in_error_leaves_everything_alone_where_none_is_known(root: Path) -> None:
    put(root, {"etc/kdumphpd.toml": "[events]\nsettle_time = 0\n"})
    result, _ = ask(root, b"check\n")
    assert result.outcome is Outcome.FAILED
    assert "events.settle_time is 0" in result.detail


def test_the_last_configuration_that_was_right_stays_in_force(root: Path) -> None:
    ask(root, b"check\n")
    put(root, {"etc/kdumphpd.toml": "[events]\nsettle_time = 0\n"})
    result, _ = ask(root, b"check\n")
    assert result.outcome is Outcome.UNVERIFIED
    assert result.settings is not None
    assert result.settings.settle_time == 2


def test_asked_for_the_configuration_it_says_whether_it_is_right(root: Path) -> None:
    result, _ = ask(root, b"configuration\n")
    assert (result.outcome, result.settings is not None) == (Outcome.CONFIGURED, True)
    put(root, {"etc/kdumphpd.toml": "[events]\nsettle_time = 0\n"})
    result, _ = ask(root, b"configuration\n")
    assert (result.outcome, "expected a number" in result.detail) == (Outcome.FAILED, True)


def test_that_answer_waits_for_no_other_request(root: Path) -> None:
    lock = request_lock(root)
    assert ask(root, b"configuration\n")[0].outcome is Outcome.CONFIGURED
    lock.release()


def test_whoever_connects_and_says_nothing_is_not_worth_a_warning(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(journal, "_send", lambda level, message, keywords: said.append(level))
    ask(root, b"")
    monkeypatch.setattr(request, "REQUEST_TIMEOUT", 0.01)
    here, there = socket.socketpair()
    with here, there:
        assert request.answer(there, root).outcome is Outcome.REFUSED
    assert set(said) == {"debug"}
    ask(root, b"reboot\n")
    assert said[-1] == "warning"


def test_what_the_loader_would_load_is_asked_after_the_answer_and_told_where_it_may_matter(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = iter([True, False])
    monkeypatch.setattr(RealSystem, "prepare", lambda self: next(new))
    here, there = socket.socketpair()
    with here, there:
        request.prepare(there, root)
        request.prepare(there, root)
        assert decode(here.recv(65536)) == Progress("what the loader would load is known now")


def test_whether_an_image_is_loaded_cannot_be_read_and_nothing_is_dropped(root: Path) -> None:
    record.write(root, Record(pending=Pending()))
    put(root, {CRASH_LOADED: ""})
    result, _ = ask(root, b"check\n")
    assert (result.outcome, result.pending) == (Outcome.FAILED, True)
    assert f"{CRASH_LOADED} holds ''" in result.detail
    assert record.read(root).pending == Pending()


def test_a_bug_is_answered_and_logged_with_where_it_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(journal, "_send", lambda level, message, keywords: said.append(message))
    monkeypatch.setattr(RealSystem, "observe", lambda *_, settled: 1 // 0)
    result, _ = ask(root, b"check\n")
    assert (result.outcome, result.armed) == (Outcome.FAILED, True)
    assert "ZeroDivisionError" in said[-1]


def test_the_end_of_a_request_is_seen_although_the_process_stays(root: Path) -> None:
    here, there = socket.socketpair()
    with here, there, there.dup():
        request.hang_up(there)
        assert here.recv(1) == b""
