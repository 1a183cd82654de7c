# SPDX-License-Identifier: GPL-2.0-or-later
from pathlib import Path

import pytest

from kdumphpd.config import Config, KexecConfig, Loader, ReloadConfig
from kdumphpd.reload import choose, kdump_tools, kexec
from kdumphpd.reload.run import LoadFailed
from tests.unit.trees import put

SIZE = "sys/kernel/kexec/crash_elfcorehdr_size"


def config(loader: Loader = Loader.AUTO, kernel: str = "") -> Config:
    return Config(reload=ReloadConfig(loader=loader, kexec=KexecConfig(kernel=kernel)))


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In kexec's place: says its help as 2.0.29 does, writes down how it was called, is busy as often as told."""
    path = tmp_path / "kexec"
    path.write_text(
        f"""#!/bin/sh
if [ "$1" = --help ]; then
	cat {tmp_path}/help
	exit 0
fi
echo "$@" >>{tmp_path}/calls
busy=$(cat {tmp_path}/busy)
if [ "$busy" -gt 0 ]; then
	echo $((busy - 1)) >{tmp_path}/busy
	echo 'kexec_load failed: Device or resource busy'
	exit 255
fi
if [ -e {tmp_path}/error ]; then
	cat {tmp_path}/error
	exit 255
fi
"""
    )
    path.chmod(0o755)
    put(
        tmp_path,
        {"help": "     --hotplug            Do in-kernel update\n", "busy": "0\n", "calls": "", SIZE: "1024\n"},
    )
    put(tmp_path, {"vmlinuz": "kernel", "initrd": "initrd"})
    monkeypatch.setattr(kexec, "KEXEC", str(path))
    return path


def calls(program: Path) -> list[str]:
    return (program.parent / "calls").read_text().splitlines()


# --- options ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ("-p /k", "-a --hotplug -p /k"),
        ("-p -a /k", "-a --hotplug -p /k"),
        ("-p -c /k", "-a --hotplug -p /k"),
        ("--kexec-syscall -p /k", "-a --hotplug -p /k"),
        ("--kexec-syscall-auto -p /k", "-a --hotplug -p /k"),
        ("-p -s /k", "--hotplug -p -s /k"),
        ("-p --kexec-file-syscall /k", "--hotplug -p --kexec-file-syscall /k"),
        ("-p -a --hotplug /k", "-a --hotplug -p /k"),
        ("-p --command-line=-c /k", "-a --hotplug -p --command-line=-c /k"),
    ],
)
def test_a_command_is_made_to_load_an_image_that_the_kernel_keeps_current(
    program: Path, options: str, kept: str
) -> None:
    argv = kexec.keep_current(program.parent, [str(program), *options.split()], 30)
    assert argv == [str(program), *kept.split()]


def test_a_kexec_that_does_not_know_hotplug_is_called_as_it_was(program: Path) -> None:
    put(program.parent, {"help": "     --mem-min=<addr>\n"})
    argv = [str(program), "-p", "-c", "/k"]
    assert kexec.keep_current(program.parent, argv, 30) == argv


def test_where_the_kernel_tells_no_size_kexec_is_not_even_asked(tmp_path: Path) -> None:
    # `kexec --hotplug` dies there. The program does not exist: running it would be an error.
    argv = [str(tmp_path / "no-kexec"), "-p", "-c", "/k"]
    assert kexec.keep_current(tmp_path, argv, 30) == argv


# --- files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "files"),
    [
        (["kexec", "-p", "/k"], ["/k"]),
        (["kexec", "-p", "--initrd=/i", "--command-line=initrd=/x", "/k"], ["/i", "/k"]),
        (["kexec", "-p", "--ramdisk=/i", "/k"], ["/i", "/k"]),
        (["kexec", "-p", "--initrd=/a=b", "/k"], ["/a=b", "/k"]),
    ],
)
def test_kernel_and_initrd_of_a_command_are_found(argv: list[str], files: list[str]) -> None:
    assert kexec.image_files(argv) == files


def test_a_file_that_can_be_read_passes(tmp_path: Path) -> None:
    put(tmp_path, {"vmlinuz": "x" * 3000000})
    kexec.check_file(str(tmp_path / "vmlinuz"))


def test_a_file_that_is_missing_or_empty_does_not(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"cannot read .*/vmlinuz, .*: No such file or directory"):
        kexec.check_file(str(tmp_path / "vmlinuz"))
    put(tmp_path, {"vmlinuz": ""})
    with pytest.raises(LoadFailed, match=r"vmlinuz, which the image is made of, is empty"):
        kexec.check_file(str(tmp_path / "vmlinuz"))
    with pytest.raises(LoadFailed, match="Is a directory"):
        kexec.check_file(str(tmp_path))


# --- loading ----------------------------------------------------------------------------------------------


def test_with_a_file_missing_kexec_is_not_run_and_the_old_image_stays(program: Path) -> None:
    (program.parent / "initrd").unlink()
    argv = [str(program), "-p", f"--initrd={program.parent}/initrd", f"{program.parent}/vmlinuz"]
    with pytest.raises(LoadFailed, match="cannot read"):
        kexec.load_over(program.parent, argv, 30)
    assert calls(program) == []


def test_a_busy_lock_is_tried_again(program: Path) -> None:
    put(program.parent, {"busy": "2\n"})
    kexec.load_over(program.parent, [str(program), "-p", f"{program.parent}/vmlinuz"], 30)
    assert len(calls(program)) == 3


def test_a_lock_that_stays_busy_is_given_up_in_the_systems_words(program: Path) -> None:
    put(program.parent, {"busy": "1000\n"})
    with pytest.raises(LoadFailed, match="Device or resource busy"):
        kexec.load_over(program.parent, [str(program), "-p", f"{program.parent}/vmlinuz"], 0.3)
    assert len(calls(program)) > 1


def test_any_other_failure_is_not_tried_again(program: Path) -> None:
    put(program.parent, {"error": "Cannot load: No space left on device\n"})
    with pytest.raises(LoadFailed, match="No space left on device"):
        kexec.load_over(program.parent, [str(program), "-p", f"{program.parent}/vmlinuz"], 30)
    assert len(calls(program)) == 1


def test_what_the_configuration_names_is_loaded(program: Path) -> None:
    folder = program.parent
    files = KexecConfig(kernel=f"{folder}/vmlinuz", initrd=f"{folder}/initrd", command_line="nr_cpus=1 quiet")
    kexec.load(folder, Config(reload=ReloadConfig(kexec=files)))
    expected = f"-a --hotplug -p --command-line=nr_cpus=1 quiet --initrd={folder}/initrd {folder}/vmlinuz"
    assert calls(program) == [expected]


def test_without_a_kernel_there_is_nothing_to_load(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"set kernel in \[reload\.kexec\]"):
        kexec.load(tmp_path, config())


# --- which loader -----------------------------------------------------------------------------------------


def test_the_configured_loader_is_taken_whatever_is_installed(tmp_path: Path) -> None:
    put(tmp_path, {kdump_tools.KDUMP_CONFIG.lstrip("/"): ""})
    assert choose(tmp_path, config(Loader.KEXEC)) is Loader.KEXEC


def test_auto_takes_the_distributions_loader_before_a_kernel_that_is_named(tmp_path: Path) -> None:
    assert choose(tmp_path, config(kernel="/k")) is Loader.KEXEC
    put(tmp_path, {kdump_tools.KDUMP_CONFIG.lstrip("/"): ""})
    assert choose(tmp_path, config(kernel="/k")) is Loader.KDUMP_TOOLS


def test_where_there_is_none_the_operator_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"install kdump-tools, or name a kernel in \[reload\.kexec\]"):
        choose(tmp_path, config())
