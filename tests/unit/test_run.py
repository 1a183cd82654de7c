# SPDX-License-Identifier: GPL-2.0-or-later
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from kdumphpd.reload.run import APART, ENVIRONMENT, TAIL, LoadFailed, end_others, run, run_apart, run_when_free
from tests.unit.trees import put


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


def test_any_other_failure_is_not_tried_again(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="No space left on device"):
        run_when_free(["/bin/sh", "-c", f"echo >>{tmp_path}/calls; echo No space left on device; exit 255"], 30)
    assert len((tmp_path / "calls").read_text().splitlines()) == 1


# --- a unit of its own ------------------------------------------------------------------------------------


@pytest.fixture
def systemd_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In systemd-run's place: notes its arguments, and runs what stands behind "--" as that would."""
    program = tmp_path / "systemd-run"
    program.write_text(
        f"""#!/bin/sh
for word; do printf '%s\\n' "$word"; done >{tmp_path}/arguments
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""
    )
    program.chmod(0o755)
    monkeypatch.setattr("kdumphpd.reload.run.SYSTEMD_RUN", str(program))
    return program


def test_systemd_ends_a_loader_that_takes_too_long_and_waits_for_one_that_does_not(systemd_run: Path) -> None:
    assert run_apart(["/bin/echo", "loaded"], 30) == "loaded"
    arguments = (systemd_run.parent / "arguments").read_text().splitlines()
    assert {"--wait", "--pipe", "--collect", "--service-type=oneshot", f"--unit={APART}"} < set(arguments)
    assert "--property=TimeoutStartSec=30" in arguments


def test_its_words_reach_the_loader_as_they_are(systemd_run: Path) -> None:
    run_apart(["/bin/echo", "$HOME", "a b", "100%"], 30)
    # systemd makes one dollar sign of two.
    assert (systemd_run.parent / "arguments").read_text().endswith("\n--\n/bin/echo\n$$HOME\na b\n100%\n")


def test_its_failure_names_the_loader_and_not_only_what_ran_it(systemd_run: Path) -> None:
    with pytest.raises(LoadFailed, match=r"^/bin/sh -c: .*systemd-run --wait failed with status 3: no memory$"):
        run_apart(["/bin/sh", "-c", "echo no memory; exit 3"], 30)


# --- what a loader leaves behind --------------------------------------------------------------------------


def test_in_a_unit_of_ours_every_other_process_is_ended(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True) as stray:
        group = "/system.slice/system-kdumphpd\\x2drearm.slice/kdumphpd-rearm@7-12.service"
        members = f"sys/fs/cgroup{group}/cgroup.procs"
        put(tmp_path, {"proc/self/cgroup": f"0::{group}\n", members: f"{os.getpid()}\n{stray.pid}\n"})
        ender = threading.Thread(target=end_others, args=(tmp_path,))
        ender.start()
        stray.wait(30)
        put(tmp_path, {members: f"{os.getpid()}\n"})
        ender.join()
    assert stray.returncode == -signal.SIGKILL


@pytest.mark.parametrize("text", ["0::/user.slice/session-1.scope\n", "0::/system.slice/other.service\n", ""])
def test_outside_of_it_nothing_is_ours_to_end(tmp_path: Path, text: str) -> None:
    with subprocess.Popen(["/bin/sleep", "1000"]) as other:
        group = text.strip().removeprefix("0::").lstrip("/")
        put(tmp_path, {"proc/self/cgroup": text, f"sys/fs/cgroup/{group}/cgroup.procs": f"{other.pid}\n"})
        end_others(tmp_path)
        assert other.poll() is None
        other.kill()
