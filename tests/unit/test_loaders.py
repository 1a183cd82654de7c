# SPDX-License-Identifier: GPL-2.0-or-later
"""Which loader "auto" takes, family by family."""

from itertools import combinations
from pathlib import Path

import pytest

from kdumphpd.config import Config, KexecConfig, Loader, ReloadConfig
from kdumphpd.reload import LOADERS, choose
from tests.unit.trees import put

INSTALLED = {
    Loader.KDUMPCTL: "usr/bin/kdumpctl",
    Loader.SUSE: "usr/lib/kdump/load.sh",
    Loader.KDUMP_TOOLS: "usr/sbin/kdump-config",
}
WANTS = "etc/systemd/system/multi-user.target.wants/{}"

NAMED = Config(reload=ReloadConfig(kexec=KexecConfig(kernel="/k"), command=("/c",)))


def test_every_loader_that_can_be_configured_is_there() -> None:
    assert set(LOADERS) == set(Loader) - {Loader.AUTO}


@pytest.mark.parametrize("loader", INSTALLED)
def test_the_distributions_own_is_found_before_what_is_only_configured(tmp_path: Path, loader: Loader) -> None:
    assert choose(tmp_path, NAMED) is Loader.KEXEC
    put(tmp_path, {INSTALLED[loader]: ""})
    assert choose(tmp_path, NAMED) is loader


@pytest.mark.parametrize(("first", "second"), [*combinations(INSTALLED, 2)])
def test_of_two_that_are_installed_the_enabled_one_is_taken(tmp_path: Path, first: Loader, second: Loader) -> None:
    put(tmp_path, {INSTALLED[first]: "", INSTALLED[second]: ""})
    assert choose(tmp_path, NAMED) is first
    [unit, *_] = set(LOADERS[second].UNITS) - set(LOADERS[first].UNITS)
    put(tmp_path, {WANTS.format(unit): ""})
    assert choose(tmp_path, NAMED) is second


def test_a_command_is_taken_where_nothing_else_is_there(tmp_path: Path) -> None:
    assert choose(tmp_path, Config(reload=ReloadConfig(command=("/c",)))) is Loader.COMMAND


@pytest.mark.parametrize("loader", LOADERS)
def test_what_is_configured_is_taken_whatever_is_installed(tmp_path: Path, loader: Loader) -> None:
    put(tmp_path, dict.fromkeys(INSTALLED.values(), ""))
    assert choose(tmp_path, Config(reload=ReloadConfig(loader=loader))) is loader
