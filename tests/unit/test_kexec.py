# SPDX-License-Identifier: GPL-2.0-or-later
from dataclasses import replace
from pathlib import Path

import pytest

from kdumphpd.config import Config, KexecConfig, Loader, ReloadConfig, SyscallChoice
from kdumphpd.reload import choose, kdump_tools, kexec
from kdumphpd.reload.run import LoadFailed
from kdumphpd.reload.way import Way
from tests.unit.trees import kernel, put

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
if [ -e {tmp_path}/killed ]; then
	rm {tmp_path}/killed
	kill -9 $$
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


# --- ways -------------------------------------------------------------------------------------------------

MODERN = kexec.Abilities(kernel_updates=True, hotplug_option=True, locked_down=False)


def offered(options: str, choice: SyscallChoice = SyscallChoice.AUTO, able: kexec.Abilities = MODERN) -> list[Way]:
    return kexec.direct_ways(["/sbin/kexec", *options.split()], choice, able)


@pytest.mark.parametrize(
    ("choice", "able", "expected"),
    [
        (SyscallChoice.AUTO, MODERN, ["kexec -c --hotplug", "kexec -s"]),
        (SyscallChoice.LOAD, MODERN, ["kexec -c --hotplug"]),
        (SyscallChoice.FILE, MODERN, ["kexec -s"]),
        # Under lockdown only one of them is let through.
        (SyscallChoice.AUTO, replace(MODERN, locked_down=True), ["kexec -s"]),
        (SyscallChoice.LOAD, replace(MODERN, locked_down=True), ["kexec -c --hotplug"]),
        # An old kexec on a kernel that updates: the file syscall alone leaves an image that it may update.
        (SyscallChoice.AUTO, replace(MODERN, hotplug_option=False), ["kexec -s", "kexec -c"]),
        # A kernel that updates nothing: the shorter gap comes first.
        (SyscallChoice.AUTO, kexec.Abilities(False, False, False), ["kexec -c", "kexec -s"]),
    ],
)
def test_the_shortest_gap_comes_first_among_those_that_spare_the_next_reload(
    choice: SyscallChoice, able: kexec.Abilities, expected: list[str]
) -> None:
    assert [way.name for way in offered("-p /k", choice, able)] == expected


def test_the_kernel_may_update_what_it_was_permitted_to_and_only_where_it_updates_at_all() -> None:
    assert [way.updatable for way in offered("-p /k")] == [True, True]
    assert [way.updatable for way in offered("-p /k", able=replace(MODERN, hotplug_option=False))] == [True, False]
    old = kexec.Abilities(kernel_updates=False, hotplug_option=False, locked_down=False)
    assert [way.updatable for way in offered("-p /k", able=old)] == [False, False]


@pytest.mark.parametrize(
    "options",
    [
        "-p {}",
        "-p -a {}",
        "-c -p {}",
        "-p -s {}",
        "--kexec-syscall-auto -p {}",
        "--kexec-file-syscall --hotplug -p {}",
    ],
)
def test_which_syscall_the_recorded_command_asked_for_does_not_matter(program: Path, options: str) -> None:
    kernel = f"{program.parent}/vmlinuz"
    for way in kexec.direct_ways([str(program), *options.format(kernel).split()], SyscallChoice.AUTO, MODERN):
        way.load(30)
    assert calls(program) == [f"-c --hotplug -p {kernel}", f"-s -p {kernel}"]


def test_the_capture_kernels_own_command_line_is_left_as_it_is(program: Path) -> None:
    [way] = kexec.direct_ways(
        [str(program), "-p", "--command-line=-c -s --hotplug", "/k"], SyscallChoice.LOAD, MODERN
    )
    way.load(30)
    assert calls(program) == ["-c --hotplug -p --command-line=-c -s --hotplug /k"]


def test_a_kexec_that_is_killed_is_started_once_more(program: Path) -> None:
    way = kexec.direct_ways([str(program), "-p", "/k"], SyscallChoice.AUTO, MODERN)[0]
    put(program.parent, {"killed": ""})
    way.load(30)
    assert len(calls(program)) == 2


def test_one_that_fails_by_itself_is_not(program: Path) -> None:
    way = kexec.direct_ways([str(program), "-p", "/k"], SyscallChoice.AUTO, MODERN)[0]
    put(program.parent, {"error": "Cannot load: no memory"})
    with pytest.raises(LoadFailed, match="no memory"):
        way.load(30)
    assert len(calls(program)) == 1


@pytest.mark.parametrize(
    ("options", "kernel", "initrd"),
    [
        ("-p /k", "/k", None),
        ("-p --initrd=/i --command-line=initrd=/x /k", "/k", "/i"),
        ("-p --ramdisk=/i /k", "/k", "/i"),
        ("-p --initrd=/a=b /k", "/k", "/a=b"),
    ],
)
def test_kernel_and_initrd_of_a_command_are_found(options: str, kernel: str, initrd: str | None) -> None:
    for way in offered(options):
        assert way.kernel == Path(kernel)
        assert way.initrd == (Path(initrd) if initrd else None)


# --- abilities --------------------------------------------------------------------------------------------


def test_kernel_and_kexec_are_asked_what_they_can_do(program: Path) -> None:
    root = kernel(program.parent)
    assert kexec.abilities(root) == MODERN
    put(root, {"help": "     --mem-min=<addr>\n"})
    assert kexec.abilities(root) == replace(MODERN, hotplug_option=False)


def test_where_the_kernel_tells_no_size_kexec_is_not_even_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `kexec --hotplug` dies there. The program does not exist: running it would be an error.
    monkeypatch.setattr(kexec, "KEXEC", str(tmp_path / "no-kexec"))
    assert kexec.abilities(kernel(tmp_path, cpu=None, memory=None)) == kexec.Abilities(False, False, False)


@pytest.mark.parametrize(
    ("text", "locked"),
    [
        ("[none] integrity confidentiality\n", False),
        ("none [integrity] confidentiality\n", True),
        ("none integrity [confidentiality]\n", True),
        ("", False),
    ],
)
def test_lockdown_is_what_the_kernel_says(tmp_path: Path, text: str, *, locked: bool) -> None:
    assert not kexec.is_locked_down(tmp_path)
    put(tmp_path, {kexec.LOCKDOWN: text})
    assert kexec.is_locked_down(tmp_path) is locked


# --- loading ----------------------------------------------------------------------------------------------


def test_what_the_configuration_names_is_loaded(program: Path) -> None:
    folder = program.parent
    files = KexecConfig(kernel=f"{folder}/vmlinuz", initrd=f"{folder}/initrd", command_line="nr_cpus=1 quiet")
    kexec.ways(kernel(folder), Config(reload=ReloadConfig(kexec=files)))[0].load(30)
    expected = f"-c --hotplug -p --command-line=nr_cpus=1 quiet --initrd={folder}/initrd {folder}/vmlinuz"
    assert calls(program) == [expected]


def test_without_a_kernel_there_is_nothing_to_load(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"set kernel in \[reload\.kexec\]"):
        kexec.ways(tmp_path, config())


# --- which loader -----------------------------------------------------------------------------------------


def test_the_configured_loader_is_taken_whatever_is_installed(tmp_path: Path) -> None:
    put(tmp_path, {kdump_tools.KDUMP_CONFIG.lstrip("/"): ""})
    assert choose(tmp_path, config(Loader.KEXEC)) is Loader.KEXEC


def test_auto_takes_the_distributions_loader_before_a_kernel_that_is_named(tmp_path: Path) -> None:
    assert choose(tmp_path, config(kernel="/k")) is Loader.KEXEC
    put(tmp_path, {kdump_tools.KDUMP_CONFIG.lstrip("/"): ""})
    assert choose(tmp_path, config(kernel="/k")) is Loader.KDUMP_TOOLS


def test_where_there_is_none_the_operator_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"kdump package, or name a kernel in \[reload\.kexec\]"):
        choose(tmp_path, config())


def test_auto_takes_what_is_enabled_before_what_is_only_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kexec, "UNITS", ("own-kdump.service",))
    put(tmp_path, {kdump_tools.KDUMP_CONFIG.lstrip("/"): ""})
    assert choose(tmp_path, config(kernel="/k")) is Loader.KDUMP_TOOLS
    put(tmp_path, {"etc/systemd/system/multi-user.target.wants/own-kdump.service": ""})
    assert choose(tmp_path, config(kernel="/k")) is Loader.KEXEC
