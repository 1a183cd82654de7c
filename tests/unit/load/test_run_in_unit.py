# SPDX-License-Identifier: GPL-2.0-or-later
import signal
from pathlib import Path

import pytest

from kdumphpd.load import run as run_module
from kdumphpd.load.run import LOAD_UNIT, OUTPUT, CommandFailed, LoadFailed, run_in_unit
from tests.unit.load.transient import install
from tests.unit.trees import put


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return install(tmp_path, monkeypatch)


def in_unit(root: Path, script: str, limit: float = 30.0) -> str:
    return run_in_unit(["/bin/sh", "-c", script], limit, root=root)


def test_systemd_ends_a_loader_that_takes_too_long_and_waits_for_one_that_does_not(
    systemd: Path, tmp_path: Path
) -> None:
    assert run_in_unit(["/bin/echo", "loaded"], 30, ["KeyringMode=shared"], root=tmp_path) == "loaded"
    arguments = (systemd / "arguments").read_text().splitlines()
    assert {"--service-type=oneshot", f"--unit={LOAD_UNIT}", "--property=KeyringMode=shared"} < set(arguments)
    assert {"--property=TimeoutStartSec=30", "--property=OOMScoreAdjust=-900"} < set(arguments)


def test_the_system_bus_is_not_needed(systemd: Path, tmp_path: Path) -> None:
    # systemd-run connects to it for these, and fails where there is none.
    in_unit(tmp_path, "true")
    assert not {"--wait", "--pipe", "--pty", "--collect"} & set((systemd / "arguments").read_text().splitlines())


def test_its_words_reach_the_loader_as_they_are(systemd: Path, tmp_path: Path) -> None:
    assert run_in_unit(["/bin/echo", "$HOME", "a b", "100%"], 30, root=tmp_path) == "$HOME a b 100%"
    # systemd makes one dollar sign of two.
    assert (systemd / "arguments").read_text().endswith("\n--\n/bin/echo\n$$HOME\na b\n100%\n")


def test_its_failure_is_the_loaders_status_and_last_words(systemd: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=r"^/bin/sh -c failed with status 6: no memory$") as caught:
        in_unit(tmp_path, "echo no memory >&2; exit 6")
    assert (caught.value.status, caught.value.said) == (6, "no memory")
    with pytest.raises(CommandFailed, match="failed with status -9: it said nothing") as caught:
        in_unit(tmp_path, "kill -9 $$")
    assert caught.value.status == -signal.SIGKILL


def test_the_limit_and_want_of_memory_are_told_from_a_failure_of_its_own(systemd: Path, tmp_path: Path) -> None:
    put(systemd, {"result": "timeout\n"})
    with pytest.raises(LoadFailed, match=r"^/bin/sh -c did not end within 30 s and was ended by systemd: building$"):
        in_unit(tmp_path, "echo building; kill -TERM $$")
    put(systemd, {"result": "oom-kill\n"})
    with pytest.raises(CommandFailed, match=r"failed with status -9 \(oom-kill\): building"):
        in_unit(tmp_path, "echo building; kill -9 $$")


def test_a_failed_unit_is_forgotten_once_it_was_read(systemd: Path, tmp_path: Path) -> None:
    with pytest.raises(LoadFailed):
        in_unit(tmp_path, "exit 1")
    assert not (systemd / LOAD_UNIT).exists()


def test_one_that_was_never_read_is_no_obstacle(systemd: Path, tmp_path: Path) -> None:
    put(systemd, {LOAD_UNIT: "ActiveState=failed\n"})
    assert in_unit(tmp_path, "echo loaded") == "loaded"


def test_one_that_is_still_at_work_is(systemd: Path, tmp_path: Path) -> None:
    put(systemd, {LOAD_UNIT: "ActiveState=activating\n"})
    with pytest.raises(LoadFailed, match=r"^cannot run /bin/sh -c: .* was already loaded"):
        in_unit(tmp_path, "echo loaded")


def test_what_systemd_cannot_start_is_told_in_its_words(systemd: Path, tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"^cannot run /usr/bin/kdumpctl reload: .* Failed to find executable"):
        run_in_unit(["/usr/bin/kdumpctl", "reload"], 30, root=tmp_path)


def test_without_systemd_nothing_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, {OUTPUT: ""})
    monkeypatch.setattr(run_module, "SYSTEMD_RUN", str(tmp_path / "systemd-run"))
    with pytest.raises(LoadFailed, match=r"/bin/sh -c: cannot run .*systemd-run --quiet: No such file"):
        in_unit(tmp_path, "true")


def test_the_output_is_roots_alone_and_anew_each_time(systemd: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    put(tmp_path, {"other": "mine"})
    (tmp_path / OUTPUT).symlink_to(other)
    assert in_unit(tmp_path, "echo one") == "one"
    assert in_unit(tmp_path, "echo two") == "two"
    assert (tmp_path / OUTPUT).stat().st_mode & 0o777 == 0o600
    assert other.read_text() == "mine"


def test_a_script_that_opens_its_output_anew_leaves_no_hole(systemd: Path, tmp_path: Path) -> None:
    assert in_unit(tmp_path, "echo one; echo two >/dev/stderr; echo three") == "two\nthree"


def test_where_the_output_cannot_be_kept_the_loader_runs_all_the_same(
    systemd: Path, tmp_path: Path, said: list[str]
) -> None:
    (tmp_path / OUTPUT).parent.rmdir()
    assert in_unit(tmp_path, f"echo >{tmp_path}/ran") == ""
    assert (tmp_path / "ran").exists()
    assert "cannot keep what /bin/sh -c says in /run/kdumphpd-helper/output (No such file or directory)" in said[0]
