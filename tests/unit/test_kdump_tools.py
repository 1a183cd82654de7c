# SPDX-License-Identifier: GPL-2.0-or-later
import os
from dataclasses import replace
from pathlib import Path

import pytest

from kdumphpd.config import Config, ReloadConfig
from kdumphpd.reload import kdump_tools
from kdumphpd.reload.kdump_tools import DEFAULTS, core_folder, recorded_command
from kdumphpd.reload.kexec import KEXEC
from kdumphpd.reload.run import LoadFailed, Withdrawn
from tests.unit.trees import CRASH_LOADED, kernel, put

COMMAND = (
    "/sbin/kexec -p --command-line='root=/dev/vda1 nr_cpus=1' --initrd=/var/lib/kdump/initrd /var/lib/kdump/vmlinuz"
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file that is root's")


def record(folder: Path, text: str = COMMAND) -> Path:
    path = folder / "kexec_cmd"
    path.write_text(f"{text}\n")
    path.chmod(0o644)
    return path


@as_root
def test_the_command_of_kdump_configs_last_load_is_taken_word_by_word(tmp_path: Path) -> None:
    assert recorded_command(record(tmp_path)) == [
        KEXEC,
        "-p",
        "--command-line=root=/dev/vda1 nr_cpus=1",
        "--initrd=/var/lib/kdump/initrd",
        "/var/lib/kdump/vmlinuz",
    ]


@as_root
def test_whatever_kexec_it_names_ours_is_run(tmp_path: Path) -> None:
    assert recorded_command(record(tmp_path, "/home/x/kexec -p /k"))[0] == KEXEC


@as_root
@pytest.mark.parametrize("text", ["", "rm -rf /", "kexec /k", "kexec -p", "kexec -l /k", "/sbin/kexecute -p /k"])
def test_what_is_no_load_of_a_kdump_image_is_not_run(tmp_path: Path, text: str) -> None:
    with pytest.raises(LoadFailed, match="does not hold a `kexec -p` command"):
        recorded_command(record(tmp_path, text))


@pytest.mark.parametrize("text", ["kexec -p 'unfinished", "kexec -p \\"])
def test_what_a_shell_could_not_read_is_no_command(tmp_path: Path, text: str) -> None:
    path = record(tmp_path)
    path.write_text(text)
    with pytest.raises(LoadFailed, match="does not hold a command: No "):
        recorded_command(path)


def test_what_is_no_text_is_no_command(tmp_path: Path) -> None:
    path = record(tmp_path)
    path.write_bytes(b"kexec -p /k\xff")
    with pytest.raises(LoadFailed, match="does not hold a command"):
        recorded_command(path)


def test_where_kdump_config_has_recorded_none_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="kdump-config has recorded no command in"):
        recorded_command(tmp_path / "kexec_cmd")


def test_a_folder_in_its_place_is_said(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="Is a directory"):
        recorded_command(tmp_path)


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_command_that_somebody_else_could_have_written_is_not_run(tmp_path: Path, mode: int) -> None:
    path = record(tmp_path)
    path.chmod(mode)
    with pytest.raises(LoadFailed, match="could have been written by somebody else than root"):
        recorded_command(path)


def test_a_command_that_somebody_else_owns_is_not_run(tmp_path: Path) -> None:
    path = record(tmp_path)
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    with pytest.raises(LoadFailed, match="could have been written by somebody else than root"):
        recorded_command(path)


# --- where its files are ----------------------------------------------------------------------------------


@pytest.mark.skipif(Path(DEFAULTS).exists(), reason="kdump-tools is configured here")
def test_the_folder_of_an_installation_without_settings_is_var_crash() -> None:
    assert core_folder() == Path("/var/crash")


# --- its lock ---------------------------------------------------------------------------------------------


def test_its_lock_is_held_meanwhile_and_one_that_somebody_else_holds_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kdump_tools, "core_folder", lambda: tmp_path)
    config = Config(reload=replace(ReloadConfig(), timeout=1.0))
    with kdump_tools.lock(tmp_path, config):  # noqa: SIM117 - one inside of the other is the point
        with pytest.raises(LoadFailed, match=r"cannot hold kdump-tools' lock: somebody held .* for 1 s"):
            with kdump_tools.lock(tmp_path, config):
                pytest.fail("held twice")


def test_a_lock_that_cannot_be_made_keeps_nobody_from_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kdump_tools, "core_folder", lambda: tmp_path / "missing")
    with kdump_tools.lock(tmp_path, Config()):
        pass


# --- its unit ---------------------------------------------------------------------------------------------


class Unit:
    """kdump-tools.service as systemd tells of it, and what kdump-config was asked."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = kernel(tmp_path)
        self.changes, self.state, self.asked = 0, "active", list[str]()
        monkeypatch.setattr(kdump_tools, "last_changes", lambda units: [str(self.changes)])
        monkeypatch.setattr(kdump_tools, "active_states", lambda units: [self.state])
        monkeypatch.setattr(kdump_tools, "wait_until_idle", self.wait)
        monkeypatch.setattr(kdump_tools, "run_apart", lambda argv, timeout: self.asked.append(argv[1]))
        self.at_work = ""  # what it is waited for to become, empty where it is idle

    def wait(self, units: list[str], timeout: float) -> bool:
        assert units == ["kdump-tools.service"]
        if self.at_work:
            self.state, self.at_work = self.at_work, ""
            return True
        return False

    def armed(self, armed: bool) -> None:
        put(self.root, {CRASH_LOADED: f"{armed:d}\n"})

    def becomes(self, state: str) -> None:
        self.changes += 1
        self.at_work = state


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Unit:
    return Unit(tmp_path, monkeypatch)


def refused(timeout: float) -> None:
    raise LoadFailed("kexec failed with status 255: Device or resource busy")


def test_a_load_that_meets_nobody_is_all_there_is(unit: Unit) -> None:
    loads: list[float] = []
    kdump_tools.load_in_peace(unit.root, loads.append, 5)
    assert loads == [5]
    assert unit.asked == []


def test_a_load_that_fails_alone_has_failed(unit: Unit) -> None:
    with pytest.raises(LoadFailed, match="resource busy"):
        kdump_tools.load_in_peace(unit.root, refused, 5)
    assert unit.asked == []


@pytest.mark.parametrize("state", ["active", "failed"])
def test_what_a_restart_asked_for_is_loaded_after_a_load_that_may_have_met_it(unit: Unit, state: str) -> None:
    kdump_tools.load_in_peace(unit.root, lambda timeout: unit.becomes(state), 5)
    assert unit.asked == ["reload"]


def test_so_it_is_where_ours_was_the_one_that_was_refused(unit: Unit) -> None:
    def load(timeout: float) -> None:
        unit.becomes("active")
        refused(timeout)

    kdump_tools.load_in_peace(unit.root, load, 5)
    assert unit.asked == ["reload"]


def test_an_image_loaded_over_a_stop_is_unloaded(unit: Unit) -> None:
    with pytest.raises(Withdrawn, match=r"kdump-tools\.service was stopped meanwhile"):
        kdump_tools.load_in_peace(unit.root, lambda timeout: unit.becomes("inactive"), 5)
    assert unit.asked == ["unload"]


def test_a_stop_that_has_unloaded_it_is_left_at_that(unit: Unit) -> None:
    unit.armed(False)
    unit.becomes("inactive")
    with pytest.raises(Withdrawn):
        kdump_tools.reload(unit.root, 5)
    assert unit.asked == []


def test_a_restart_that_has_loaded_an_image_spares_kdump_config_another_load(unit: Unit) -> None:
    unit.becomes("active")
    kdump_tools.reload(unit.root, 5)
    assert unit.asked == []


@pytest.mark.parametrize(("armed", "asked"), [(True, "reload"), (False, "load")])
def test_kdump_config_only_loads_where_there_is_nothing_to_unload(unit: Unit, armed: bool, asked: str) -> None:
    unit.armed(armed)
    unit.state = "inactive"  # never started: loaded by hand
    kdump_tools.reload(unit.root, 5)
    assert unit.asked == [asked]
