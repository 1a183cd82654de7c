# SPDX-License-Identifier: GPL-2.0-or-later
import os
from dataclasses import replace
from pathlib import Path

import pytest

from kdumphpd.config import Config, ReloadConfig
from kdumphpd.reload import kdump_tools
from kdumphpd.reload.kdump_tools import DEFAULTS, core_folder, recorded_command
from kdumphpd.reload.kexec import KEXEC
from kdumphpd.reload.run import LoadFailed

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
