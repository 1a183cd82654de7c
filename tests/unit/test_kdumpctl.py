# SPDX-License-Identifier: GPL-2.0-or-later
import os
from pathlib import Path

import pytest

from kdumphpd.config import Config
from kdumphpd.reload import kdumpctl
from kdumphpd.reload.run import TAIL, LoadFailed
from kdumphpd.reload.way import Method
from tests.unit.apart import run_here
from tests.unit.trees import put

RUNNING = os.uname().release


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In kdumpctl's place: under its own lock it unloads, and has kexec's words in the log, with a trace around."""
    path = tmp_path / "kdumpctl"
    path.write_text(
        f"""#!/bin/sh
cd {tmp_path} || exit 1
exec 9>lock
flock 9
echo "$@" >>calls
[ "$1" = reload ] || exit 1
exec 2>>{kdumpctl.LOG}
echo '+ date@1: kexec -s -p' >&2
busy=$(cat busy)
if [ "$busy" -gt 0 ]; then
	echo $((busy - 1)) >busy
	echo 'kexec_file_load failed: Device or resource busy' >&2
elif [ -e error ]; then
	cat error >&2
else
	echo 'kdump: kexec: loaded kdump kernel'
	exit 0
fi
echo '+ date@2: ret=255' >&2
echo 'kdump: kexec: failed to load kdump kernel'
exit 1
"""
    )
    path.chmod(0o755)
    put(tmp_path, {"busy": "0\n", "calls": "", kdumpctl.LOG: "kexec_load failed: last week\n"})
    monkeypatch.setattr(kdumpctl, "KDUMPCTL", str(path))
    run_here(tmp_path, monkeypatch)
    return path


def calls(program: Path) -> list[str]:
    return (program.parent / "calls").read_text().splitlines()


# --- loading ----------------------------------------------------------------------------------------------


def test_it_is_told_to_reload(program: Path) -> None:
    [way] = kdumpctl.ways(program.parent, Config())
    assert (way.name, way.method, way.updatable) == ("kdumpctl reload", Method.OWN, False)
    with kdumpctl.lock(program.parent, Config()):
        way.load(30)
    assert calls(program) == ["reload"]


def test_a_failure_is_told_with_the_words_that_kexec_left_in_the_log(program: Path) -> None:
    put(program.parent, {"error": "Could not find a free area of memory of 0x100000 bytes...\n"})
    with pytest.raises(LoadFailed) as caught:
        kdumpctl.reload(program.parent, 30)
    said = str(caught.value)
    assert said.startswith(f"{program} reload: ")
    assert "kexec: failed to load kdump kernel; /var/log/kdump.log says: Could not find a free area" in said
    assert len(calls(program)) == 1


def test_a_busy_lock_that_only_the_log_tells_of_is_tried_again(program: Path) -> None:
    put(program.parent, {"busy": "2\n"})
    kdumpctl.reload(program.parent, 30)
    assert calls(program) == ["reload"] * 3


def test_without_a_log_the_failure_is_told_all_the_same(program: Path) -> None:
    put(program.parent, {"error": ""})
    (program.parent / kdumpctl.LOG).unlink()
    with pytest.raises(LoadFailed, match=r"failed to load kdump kernel$"):
        kdumpctl.reload(program.parent, 30)


def test_of_the_log_only_what_is_new_is_taken_and_of_that_the_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert kdumpctl.said_since(log, 0) == ""
    log.write_text("old\nnew\n")
    assert kdumpctl.said_since(log, 4) == "new"
    assert kdumpctl.said_since(log, 8) == ""
    log.write_text("rotated\n")
    assert kdumpctl.said_since(log, 100) == "rotated"
    log.write_text("x" * 3 * TAIL + "\nthe reason\n")
    assert kdumpctl.said_since(log, 0).endswith("\nthe reason")
    assert len(kdumpctl.said_since(log, 0)) <= TAIL


# --- files ------------------------------------------------------------------------------------------------


def files(version: str, folder: str = "boot") -> dict[str, str]:
    return {f"boot/vmlinuz-{version}": "kernel", f"{folder}/initramfs-{version}kdump.img": "initrd"}


@pytest.mark.parametrize("folder", ["boot", "var/lib/kdump"])
def test_what_is_loaded_is_known_beforehand_where_it_is_in_its_place(tmp_path: Path, folder: str) -> None:
    put(tmp_path, files(RUNNING, folder))
    [way] = kdumpctl.ways(tmp_path, Config())
    assert way.kernel == Path(f"/boot/vmlinuz-{RUNNING}")
    assert way.initrd == Path(f"/{folder}/initramfs-{RUNNING}kdump.img")


def test_the_one_beside_the_kernel_comes_first(tmp_path: Path) -> None:
    put(tmp_path, files(RUNNING, "var/lib/kdump") | files(RUNNING))
    assert kdumpctl.image_files(tmp_path)[1] == Path(f"/boot/initramfs-{RUNNING}kdump.img")


def test_what_is_elsewhere_is_kdumpctls_to_find(tmp_path: Path) -> None:
    assert kdumpctl.image_files(tmp_path) == (None, None)
    put(tmp_path, files("6.1.0-other"))
    assert kdumpctl.image_files(tmp_path) == (None, None)


@pytest.mark.parametrize("line", ["KDUMP_KERNELVER=6.1.0-other", 'V=6.1.0\nKDUMP_KERNELVER="$V-other" # ours'])
def test_the_kernel_that_is_configured_is_the_one(tmp_path: Path, line: str) -> None:
    put(tmp_path, files("6.1.0-other") | files(RUNNING) | {kdumpctl.SETTINGS: f"{line}\n"})
    assert kdumpctl.image_files(tmp_path)[0] == Path("/boot/vmlinuz-6.1.0-other")


@pytest.mark.parametrize("text", ['KDUMP_KERNELVER=""\n', "KEXEC_ARGS=-s\n", "KDUMP_KERNELVER='unfinished\n"])
def test_where_none_is_configured_it_is_the_running_one(tmp_path: Path, text: str) -> None:
    put(tmp_path, {kdumpctl.SETTINGS: text})
    assert kdumpctl.kernel_version(tmp_path) == RUNNING
