# SPDX-License-Identifier: GPL-2.0-or-later
"""Who says what is loaded, and with which methods: the best first."""

from pathlib import Path

import pytest

from kdumphpd.config import Config, KexecConfig, LoaderChoice, ReloadConfig, SyscallChoice
from kdumphpd.kernel.limits import Limits
from kdumphpd.load import choose, kexec
from kdumphpd.load.budget import CEILING, next_allowed
from kdumphpd.load.choose import NoLoader
from kdumphpd.load.command import parse
from kdumphpd.load.kexec import Abilities
from kdumphpd.load.method import Kind
from kdumphpd.load.recording import LoaderFailed, Recording
from kdumphpd.load.run import LoadFailed, NotReady
from tests.unit.trees import put

FREE = Limits("", None, locked_down=False)
COMMAND = parse(["/sbin/kexec", "-p", "--command-line=a b", "--initrd=/i", "/k"])
ABLE = Abilities(kernel_updates=True, hotplug_option=True)
WANTS = "etc/systemd/system/multi-user.target.wants"


def names(choice: SyscallChoice, able: Abilities = ABLE, limits: Limits = FREE) -> list[str]:
    return [method.name for method in kexec.methods(COMMAND, choice, able, limits)]


def test_kexec_load_comes_first_where_the_kernel_may_update_what_it_loads() -> None:
    assert names(SyscallChoice.AUTO) == ["kexec -c --hotplug", "kexec -s"]


def test_kexec_file_load_comes_first_where_it_alone_is_updated() -> None:
    able = Abilities(kernel_updates=True, hotplug_option=False)
    assert names(SyscallChoice.AUTO, able) == ["kexec -s", "kexec -c"]


def test_the_shorter_unprotected_time_comes_first_where_the_kernel_updates_nothing() -> None:
    able = Abilities(kernel_updates=False, hotplug_option=False)
    assert names(SyscallChoice.AUTO, able) == ["kexec -c", "kexec -s"]


def test_the_operators_choice_is_the_only_one() -> None:
    assert names(SyscallChoice.FILE) == ["kexec -s"]
    assert names(SyscallChoice.LOAD) == ["kexec -c --hotplug"]


def test_under_lockdown_only_the_file_syscall_is_let_through() -> None:
    assert names(SyscallChoice.AUTO, limits=Limits("", None, locked_down=True)) == ["kexec -s"]


def test_a_last_call_is_not_spent_on_two_methods() -> None:
    assert names(SyscallChoice.AUTO, limits=Limits("", 1, locked_down=False)) == ["kexec -c --hotplug"]


# --- who says what is loaded ------------------------------------------------------------------------------------


def installed(root: Path, *, enabled: bool) -> None:
    put(root, {"usr/sbin/kdump-config": ""})
    if enabled:
        (root / WANTS).mkdir(parents=True)
        (root / WANTS / "kdump-tools.service").symlink_to("/x")


def test_a_loader_that_is_only_installed_says_nothing_about_the_loaded_image(tmp_path: Path) -> None:
    installed(tmp_path, enabled=False)
    with pytest.raises(NoLoader, match="nobody here says"):
        choose.choose(tmp_path, Config())


def test_one_that_is_enabled_or_active_does(tmp_path: Path) -> None:
    installed(tmp_path, enabled=True)
    assert choose.choose(tmp_path, Config()) is LoaderChoice.KDUMP_TOOLS
    (tmp_path / WANTS / "kdump-tools.service").unlink()
    (tmp_path / "run/systemd/units").mkdir(parents=True)
    (tmp_path / "run/systemd/units/invocation:kdump-tools.service").symlink_to("1234")
    assert choose.choose(tmp_path, Config()) is LoaderChoice.KDUMP_TOOLS


def test_what_the_operator_has_configured_comes_first(tmp_path: Path) -> None:
    installed(tmp_path, enabled=True)
    config = Config(reload=ReloadConfig(kexec=KexecConfig(kernel="/k")))
    assert choose.choose(tmp_path, config) is LoaderChoice.KEXEC
    assert choose.choose(tmp_path, Config(reload=ReloadConfig(command=("/x",)))) is LoaderChoice.COMMAND


def test_with_fadump_nothing_else_can_be_loaded(tmp_path: Path) -> None:
    installed(tmp_path, enabled=True)
    put(tmp_path, {"sys/kernel/fadump/enabled": "1\n", "sys/kernel/fadump/registered": "1\n"})
    assert choose.choose(tmp_path, Config()) is LoaderChoice.FADUMP


# --- the methods of a loader -----------------------------------------------------------------------------------


def kinds(root: Path, recording: object, *, armed: bool = True, limits: Limits = FREE) -> list[Kind]:
    def recorded() -> Recording:
        if isinstance(recording, Exception):
            raise recording
        return Recording(COMMAND, {}, "", ())

    found = choose.methods(
        root, Config(), LoaderChoice.KDUMPCTL, limits, recorded, lambda command: "acpi_no_memhotplug", armed=armed
    )
    return [method.kind for method in found]


def test_the_recorded_command_comes_first_and_the_loaders_own_reload_last(tmp_path: Path) -> None:
    assert kinds(tmp_path, None) == [Kind.KEXEC_LOAD, Kind.KEXEC_FILE_LOAD, Kind.DISTRIBUTION]


def test_where_recording_fails_its_own_reload_is_what_is_left(tmp_path: Path) -> None:
    assert kinds(tmp_path, LoadFailed("no")) == [Kind.DISTRIBUTION]


def test_where_its_files_are_missing_the_loaded_image_stays(tmp_path: Path) -> None:
    with pytest.raises(NotReady):
        kinds(tmp_path, NotReady("the initrd is missing"))
    assert kinds(tmp_path, NotReady("the initrd is missing"), armed=False) == [Kind.DISTRIBUTION]


def test_a_loader_that_fails_when_it_is_asked_does_not_get_the_loaded_image(tmp_path: Path) -> None:
    """The same command would fail again, after it has taken the image down."""
    with pytest.raises(LoaderFailed):
        kinds(tmp_path, LoaderFailed("kdump: Invalid kdump config option foo"))
    assert kinds(tmp_path, LoaderFailed("kdump: Invalid kdump config option foo"), armed=False) == [Kind.DISTRIBUTION]


def test_a_last_call_is_not_spent_on_an_unload(tmp_path: Path) -> None:
    assert kinds(tmp_path, None, limits=Limits("", 1, locked_down=False)) == [Kind.KEXEC_LOAD]


# --- the rate limit --------------------------------------------------------------------------------------------


def test_a_share_of_the_time_may_pass_without_an_image_and_no_more() -> None:
    assert next_allowed(100, 1, 0.05) == pytest.approx(119)
    assert next_allowed(100, 0, 0.05) == 100
    assert next_allowed(100, 1, 1) == 100


def test_no_reload_waits_for_longer_than_an_hour() -> None:
    assert next_allowed(100, 60 * 3600, 0.05) == 100 + CEILING
