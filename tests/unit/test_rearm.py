# SPDX-License-Identifier: GPL-2.0-or-later
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdumphpd import memo, rearm
from kdumphpd.config import ADMIN_FILE, Config, KexecConfig, Loader, ReloadConfig, Verify, VerifyConfig
from kdumphpd.lock import locked
from kdumphpd.policy import Reason
from kdumphpd.protocol import MAX_LINE, Outcome, Progress, ProtocolError, Result, Verb, decode, encode
from kdumphpd.reload import kexec
from tests.unit.trees import CRASH_LOADED, kernel, put

UNREAD = VerifyConfig(image=Verify.NEVER)


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
    """A machine with an image that the kernel keeps current, and nothing else."""
    put(tmp_path, {"dev/kmsg": ""})
    (tmp_path / memo.FOLDER).mkdir(parents=True)
    return kernel(tmp_path)


@pytest.fixture
def loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """In kexec's place: takes the image away and puts one there, if `works` exists; and what calls it."""
    program = tmp_path / "kexec"
    program.write_text(
        f"""#!/bin/sh
echo "$@" >>{tmp_path}/calls
echo 0 >{tmp_path}/{CRASH_LOADED}
if [ ! -e {tmp_path}/works ]; then
	echo 'Cannot load: no memory'
	exit 255
fi
echo 1 >{tmp_path}/{CRASH_LOADED}
"""
    )
    program.chmod(0o755)
    put(tmp_path, {"vmlinuz": "kernel", "works": ""})
    monkeypatch.setattr(kexec, "KEXEC", str(program))
    settings = ReloadConfig(loader=Loader.KEXEC, kexec=KexecConfig(kernel=str(tmp_path / "vmlinuz")))
    return Config(reload=settings, verify=UNREAD)


def silent(step: str) -> None:
    """Nobody wants to know."""


# --- the request ------------------------------------------------------------------------------------------


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


def test_a_client_that_says_nothing_does_not_keep_the_place(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    ours.settimeout(0.1)
    with pytest.raises(TimeoutError):
        rearm.read_line(ours)


@pytest.mark.parametrize("request_", [b"reboot\n", b"rearm --force\n", b"\xff\n", b"rearm\nrearm\n"])
def test_what_is_no_verb_is_refused_in_an_answer(
    pair: tuple[socket.socket, socket.socket], tmp_path: Path, request_: bytes
) -> None:
    ours, theirs = pair
    theirs.sendall(request_)
    result = rearm.answer(ours, tmp_path)
    assert result.outcome is Outcome.REFUSED
    assert "known: verify, rearm" in result.detail


def test_silence_is_refused_in_an_answer(pair: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    ours, _ = pair
    ours.settimeout(0.1)
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


# --- looking, where the image itself cannot be read ---------------------------------------------------------


def test_verify_on_a_machine_without_an_image_says_so_and_changes_nothing(root: Path) -> None:
    kernel(root, loaded="0\n")
    assert rearm.verify(root) == Result(outcome=Outcome.NOTHING_LOADED)


def test_verify_where_the_image_cannot_be_read_says_why(root: Path) -> None:
    result = rearm.verify(root)
    assert result.outcome is Outcome.UNREADABLE
    assert result.armed
    assert "kallsyms" in result.detail or "kcore" in result.detail


def test_an_image_that_the_kernel_keeps_current_is_not_reloaded(root: Path, loader: Config) -> None:
    result = rearm.rearm(root, loader, silent)
    assert (result.outcome, result.reason) == (Outcome.TRUSTED, Reason.KERNEL_UPDATES)
    assert (result.armed, result.kernel_updates) == (True, True)
    assert not (root / "calls").exists()


def test_no_image_is_left_alone(root: Path, loader: Config) -> None:
    kernel(root, loaded="0\n")
    result = rearm.rearm(root, loader, silent)
    assert (result.outcome, result.armed) == (Outcome.NOTHING_LOADED, False)
    assert not (root / "calls").exists()


# --- reloading --------------------------------------------------------------------------------------------


def test_an_image_that_the_kernel_may_not_touch_is_reloaded(root: Path, loader: Config) -> None:
    kernel(root, cpu="0\n", memory="0\n")
    steps: list[str] = []
    result = rearm.rearm(root, loader, steps.append)
    assert (result.outcome, result.reason, result.loader) == (Outcome.RELOADED, Reason.NOT_UPDATABLE, "kexec")
    assert result.armed
    assert result.seconds > 0
    assert steps == ["loading the image with kexec"]
    assert not memo.is_owed(root)


def test_a_failed_reload_without_an_image_stays_owed_and_is_made_good(root: Path, loader: Config) -> None:
    kernel(root, cpu="0\n", memory="0\n")
    (root / "works").unlink()
    result = rearm.rearm(root, loader, silent)
    assert (result.outcome, result.armed) == (Outcome.FAILED, False)
    assert "no memory" in result.detail
    assert memo.is_owed(root)

    put(root, {"works": ""})
    result = rearm.rearm(root, loader, silent)
    assert (result.outcome, result.reason, result.armed) == (Outcome.RELOADED, Reason.OWED, True)
    assert not memo.is_owed(root)


def test_a_reload_that_cannot_begin_leaves_the_image_as_it_is(root: Path, loader: Config) -> None:
    kernel(root, cpu="0\n", memory="0\n")
    (root / "vmlinuz").unlink()
    result = rearm.rearm(root, loader, silent)
    assert (result.outcome, result.armed) == (Outcome.FAILED, True)
    assert "cannot read" in result.detail
    assert not memo.is_owed(root)


def test_without_a_place_for_the_promise_the_image_stays_untouched(root: Path, loader: Config) -> None:
    kernel(root, cpu="0\n", memory="0\n")
    (root / memo.FOLDER).rmdir()
    result = rearm.rearm(root, loader, silent)
    assert (result.outcome, result.armed) == (Outcome.FAILED, True)
    assert not (root / "calls").exists()


def test_a_loader_that_lies_is_not_believed(root: Path, loader: Config) -> None:
    kernel(root, cpu="0\n", memory="0\n")
    program = Path(kexec.KEXEC)
    program.write_text(f"#!/bin/sh\necho 0 >{root}/{CRASH_LOADED}\n")
    result = rearm.rearm(root, loader, silent)
    assert result.outcome is Outcome.FAILED
    assert result.detail == "kexec reported success, but no image is loaded"
    assert memo.is_owed(root)


def test_with_no_loader_at_all_the_operator_is_told_what_to_do(root: Path) -> None:
    kernel(root, cpu="0\n", memory="0\n")
    result = rearm.rearm(root, Config(verify=UNREAD), silent)
    assert (result.outcome, result.armed, result.loader) == (Outcome.FAILED, True, "")
    assert "install kdump-tools" in result.detail


def test_a_complaint_of_the_kernel_is_answered_with_one_reload(root: Path, loader: Config) -> None:
    put(root, {"dev/kmsg": "4,9,1,-;crash hp: kexec_trylock() failed, kdump image may be inaccurate\n"})
    first = rearm.rearm(root, loader, silent)
    assert (first.outcome, first.reason) == (Outcome.RELOADED, Reason.UPDATE_FAILED)
    assert "kexec_trylock() failed" in first.detail
    assert rearm.rearm(root, loader, silent).outcome is Outcome.TRUSTED


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
