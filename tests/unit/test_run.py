# SPDX-License-Identifier: GPL-2.0-or-later
import os
import signal
import time
from pathlib import Path

import pytest

from kdumphpd.reload.run import ENVIRONMENT, TAIL, LoadFailed, run


def shell(script: str, timeout: float = 30.0) -> str:
    return run(["/bin/sh", "-c", script], timeout)


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that is dead and not yet waited for does not (proc(5), state Z)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ends(pid: int) -> bool:
    """Whether the process goes away; a killed one needs a moment."""
    for _ in range(500):
        if not is_alive(pid):
            return True
        time.sleep(0.01)
    return False


def test_the_output_of_both_streams_comes_back() -> None:
    assert shell("echo one; echo two >&2; echo three") == "one\ntwo\nthree"


def test_output_that_is_no_utf_8_is_no_obstacle() -> None:
    assert shell(r"printf '\377ok'") == "�ok"


def test_a_failure_tells_the_command_the_status_and_the_words() -> None:
    with pytest.raises(LoadFailed, match=r"^/bin/sh -c failed with status 3: no memory$"):
        shell("echo no memory >&2; exit 3")


def test_a_silent_failure_is_said_to_be_silent() -> None:
    with pytest.raises(LoadFailed, match="failed with status 1: it said nothing"):
        shell("exit 1")


def test_of_a_long_output_the_last_words_are_kept() -> None:
    with pytest.raises(LoadFailed) as caught:
        shell("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i + 1)); done; echo the reason; exit 1")
    assert str(caught.value).endswith("line 1999\nthe reason")
    assert len(str(caught.value)) < TAIL + 100


def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"cannot run .*/kexec -p: No such file or directory"):
        run([str(tmp_path / "kexec"), "-p"], 1)


def test_a_file_that_is_no_program_is_said(tmp_path: Path) -> None:
    (tmp_path / "kexec").write_text("")
    with pytest.raises(LoadFailed, match="Permission denied"):
        run([str(tmp_path / "kexec")], 1)


def test_death_by_a_signal_is_a_failure() -> None:
    with pytest.raises(LoadFailed, match=f"failed with status -{signal.SIGTERM.value}"):
        shell("kill -TERM $$")


def test_nothing_of_the_callers_environment_reaches_a_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD_OF_SOMEBODY", "1")
    seen = dict(line.split("=", 1) for line in run(["/usr/bin/env"], 30).splitlines())
    assert seen == ENVIRONMENT


def test_a_loader_has_no_input() -> None:
    assert shell("cat") == ""


def test_at_the_timeout_children_and_their_children_are_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    # Deaf to polite signals, and with the output open: what a stuck loader does worst.
    script = f"trap '' TERM HUP INT; (echo $$ >>{pids}; (sh -c 'echo $$ >>{pids}; exec sleep 1000') & wait) & wait"
    with pytest.raises(LoadFailed, match=r"did not end within 1 s and was killed"):
        shell(script, timeout=1)
    started = [int(word) for word in pids.read_text().split()]
    assert len(started) == 2
    assert all(ends(pid) for pid in started)


def test_what_a_loader_leaves_running_is_killed_when_it_ends(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    shell(f"sleep 1000 >/dev/null 2>&1 & echo $! >{pid}")
    assert ends(int(pid.read_text()))


def test_a_loader_has_a_session_of_its_own() -> None:
    assert int(shell("ps -o sid= -p $$ 2>/dev/null || cut -d' ' -f6 /proc/$$/stat")) != os.getsid(0)
