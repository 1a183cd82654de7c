# SPDX-License-Identifier: GPL-2.0-or-later
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from kdumphpd.kernel.limits import Limits
from kdumphpd.load import run as run_module
from kdumphpd.load.run import (
    ENVIRONMENT,
    TAIL,
    LoadFailed,
    bounded,
    run,
    run_when_free,
)
from tests.unit.trees import put


def shell(script: str, limit: float = 30.0) -> str:
    return run(["/bin/sh", "-c", script], limit)


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


def test_a_file_can_be_its_input(tmp_path: Path) -> None:
    put(tmp_path, {"archive": "content"})
    with (tmp_path / "archive").open() as file:
        assert run(["/bin/cat"], 30, stdin=file.fileno()) == "content"


def test_at_the_timeout_children_and_their_children_are_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    # Deaf to polite signals, and with the output open: what a stuck loader does worst.
    script = f"trap '' TERM HUP INT; (echo $$ >>{pids}; (sh -c 'echo $$ >>{pids}; exec sleep 1000') & wait) & wait"
    with pytest.raises(LoadFailed, match=r"did not end within 1 s and was killed"):
        shell(script, limit=1)
    started = [int(word) for word in pids.read_text().split()]
    assert len(started) == 2
    assert all(ends(pid) for pid in started)


def test_what_a_loader_leaves_running_is_killed_when_it_ends(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    shell(f"sleep 1000 >/dev/null 2>&1 & echo $! >{pid}")
    assert ends(int(pid.read_text()))


def test_a_loader_has_a_session_of_its_own() -> None:
    assert int(shell("ps -o sid= -p $$ 2>/dev/null || cut -d' ' -f6 /proc/$$/stat")) != os.getsid(0)


# --- a lock that somebody else holds ----------------------------------------------------------------------


def busy(folder: Path, times: int) -> list[str]:
    """A loader that finds the kexec lock held so often, and what calls it; it counts its calls."""
    (folder / "left").write_text(str(times))
    script = (
        f"cd {folder}; echo >>calls; left=$(cat left); [ $left -gt 0 ] || exit 0; echo $((left - 1)) >left;"
        " echo 'kexec_load failed: Device or resource busy'; exit 255"
    )
    return ["/bin/sh", "-c", script]


def test_a_busy_lock_is_tried_again(tmp_path: Path) -> None:
    run_when_free(busy(tmp_path, 2), 30)
    assert len((tmp_path / "calls").read_text().splitlines()) == 3


def test_a_lock_that_stays_busy_is_given_up_in_the_systems_words(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="Device or resource busy"):
        run_when_free(busy(tmp_path, 100000), 0.3)
    assert len((tmp_path / "calls").read_text().splitlines()) > 1


@pytest.mark.parametrize(("left", "tries"), [(3, 3), (1, 1)])
def test_the_kernels_last_call_is_not_spent_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int, tries: int
) -> None:
    """It counts a call before it tries the lock. `left`: after the first one."""
    calls = iter(range(left, 0, -1))
    monkeypatch.setattr(run_module, "read_limits", lambda root: Limits("", next(calls), locked_down=False))
    monkeypatch.setattr(run_module, "COUNTED_PAUSE", 0.0)
    with pytest.raises(LoadFailed, match="Device or resource busy"):
        run_when_free(busy(tmp_path, 100000), 30)
    assert len((tmp_path / "calls").read_text().splitlines()) == tries


def test_any_other_failure_is_not_tried_again(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="No space left on device"):
        run_when_free(["/bin/sh", "-c", f"echo >>{tmp_path}/calls; echo No space left on device; exit 255"], 30)
    assert len((tmp_path / "calls").read_text().splitlines()) == 1


# --- what does not end ------------------------------------------------------------------------------------


def test_a_process_that_even_sigkill_does_not_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(run_module, "KILL_WAIT", 0.2)
    monkeypatch.setattr(run_module, "_end", ended.append)  # as if it slept in the kernel
    with pytest.raises(
        LoadFailed, match=r"sleep 1000 did not end within 0.1 s, nor 0.2 s after it was killed: a disk"
    ):
        run(["/bin/sleep", "1000"], 0.1)
    os.kill(ended[0], signal.SIGKILL)
    os.waitpid(ended[0], 0)


def test_a_function_that_answers_in_time_is_as_if_it_were_called() -> None:
    assert bounded(lambda: 7, 30, "the disk") == 7
    with pytest.raises(ZeroDivisionError):
        bounded(lambda: 1 // 0, 30, "the disk")


def test_one_that_does_not_is_given_up_and_what_it_looked_at_is_named() -> None:
    answered = threading.Event()
    with pytest.raises(LoadFailed, match=r"^/boot/vmlinuz did not answer within 0.1 s: a disk or server may be gone"):
        bounded(answered.wait, 0.1, "/boot/vmlinuz")
    answered.set()
    for thread in threading.enumerate():
        if thread.name == "bounded":
            assert thread.daemon  # or we would not end before it does
            thread.join()
