# SPDX-License-Identifier: GPL-2.0-or-later
import io
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from kdumphpd.cli import output, rearm, steps
from kdumphpd.cli.output import Json
from kdumphpd.cli.steps import Steps
from kdumphpd.protocol import Outcome, Progress, Reason, Result, encode
from kdumphpd.runtime import RECORD, SOCKET
from tests.unit.trees import kernel, put

PENDING = '{"pending":{"units":[]},"method":"","kernel_updates":false,"unprotected":0.0}'

RELOADED = Result(
    Outcome.RELOADED, reason=Reason.STALE, armed=True, seconds=1.2, unprotected=0.2, kernel_updates=True
)


@pytest.fixture(autouse=True)
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@contextmanager
def helper(root: Path, *messages: Progress | Result) -> Iterator[list[bytes]]:
    """Answers one request with `messages`; what was asked."""
    asked: list[bytes] = []
    (root / SOCKET).parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / SOCKET))
        server.listen()
        server.settimeout(30)

        def serve() -> None:
            client, _ = server.accept()
            with client, suppress(BrokenPipeError):  # whoever waits no longer is gone
                asked.append(client.recv(100))
                client.sendall(b"".join(map(encode, messages)))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield asked
        finally:
            thread.join(30)


def run(root: Path, *, now: bool = False, as_json: bool = False) -> int:
    return rearm.run(output.options(now=now, json=Json.SHORT if as_json else Json.OFF), root)


def test_progress_is_shown_and_then_what_was_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with helper(tmp_path, Progress("reading the loaded image"), RELOADED) as asked:
        assert run(tmp_path) == 0
    assert asked == [b"rearm\n"]
    said = capsys.readouterr()
    assert [line.partition("] ")[2] for line in said.err.splitlines()] == ["reading the loaded image"]
    assert said.out.splitlines() == [
        "reloaded the kdump image in 1.2 s (unprotected for 0.20 s), because it did not describe the machine; "
        "the kernel updates the new image by itself",
    ]


def test_now_is_another_request(tmp_path: Path) -> None:
    with helper(tmp_path, RELOADED) as asked:
        run(tmp_path, now=True)
    assert asked == [b"rearm-now\n"]


def test_as_json_the_result_stands_alone_on_the_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with helper(tmp_path, Progress("reading the loaded image"), RELOADED):
        run(tmp_path, as_json=True)
    said = capsys.readouterr()
    assert json.loads(said.out)["outcome"] == "reloaded"
    assert "reading the loaded image" in said.err


@pytest.mark.parametrize("outcome", Outcome)
def test_the_exit_status_is_that_of_status(tmp_path: Path, outcome: Outcome) -> None:
    expected = {
        Outcome.CURRENT: 0,
        Outcome.UNVERIFIED: 0,
        Outcome.RELOADED: 0,
        Outcome.NOT_LOADED: 3,
        Outcome.BUSY: 4,
        Outcome.REFUSED: 4,
    }
    with helper(tmp_path, Result(outcome, armed=True)):
        assert run(tmp_path) == expected.get(outcome, 1)


def test_words_of_a_loader_do_nothing_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with helper(tmp_path, Progress("\x1b[2J"), Result(Outcome.FAILED, detail="\x1b[2J\r")):
        assert run(tmp_path) == 1
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())


def test_a_helper_that_gives_no_result_is_not_known_to_have_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with helper(tmp_path):
        assert run(tmp_path) == 4
    assert "hung up without a result" in capsys.readouterr().err


def test_a_missing_socket_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path) == 4
    assert "cannot talk to the helper" in capsys.readouterr().err


def test_only_root_may_ask(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert run(tmp_path) == 4
    assert "has to be run as root" in capsys.readouterr().err


def interrupted(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Ctrl-C while the helper is waited for, so many times."""
    follow = steps.follow
    left = [KeyboardInterrupt] * times

    def following(*arguments: Any) -> Result:
        if left:
            raise left.pop()
        return follow(*arguments)

    monkeypatch.setattr(rearm, "follow", following)


def test_ctrl_c_before_the_load_leaves_the_old_image_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(monkeypatch, 1)
    with helper(kernel(tmp_path), RELOADED):
        assert run(tmp_path) == 4
    assert "an image is loaded, as before; the helper goes on by itself" in capsys.readouterr().err


def test_ctrl_c_amid_the_load_waits_for_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(monkeypatch, 1)
    put(tmp_path, {RECORD: PENDING})
    with helper(kernel(tmp_path), RELOADED):
        assert run(tmp_path) == 0
    said = capsys.readouterr()
    assert "a load is under way" in said.err
    assert said.out.startswith("reloaded the kdump image")


def test_ctrl_c_once_more_waits_no_longer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(monkeypatch, 2)
    put(tmp_path, {RECORD: PENDING})
    with helper(kernel(tmp_path, loaded="0\n"), RELOADED):
        assert run(tmp_path) == 4
    assert "no image is loaded at this moment; the helper goes on" in capsys.readouterr().err


def test_a_terminal_sees_how_long_a_step_takes() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    said, clock = Terminal(), iter(range(100))
    shown = Steps(output.options(), said, lambda: float(next(clock)))
    shown.begin("loading \x1b[2J")
    shown.tick()
    shown.begin("reading the new image")
    shown.end()
    assert said.getvalue().split("\n") == [
        "[   1.0 s] loading \\x1b[2J\r[   1.0 s] loading \\x1b[2J (1 s)",
        "[   3.0 s] reading the new image",
        "",
    ]
