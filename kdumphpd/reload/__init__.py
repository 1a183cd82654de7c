# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading the kdump image anew: one small module a loader, all alike."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from kdumphpd.config import Config, Loader
from kdumphpd.reload import command, fadump, kdump_tools, kdumpctl, kexec, suse
from kdumphpd.reload.run import LoadFailed
from kdumphpd.reload.way import Way


class Module(Protocol):
    """What a loader's module has."""

    # The distribution's units that load and unload too; one that is at it is waited for.
    UNITS: tuple[str, ...]

    def is_installed(self, root: Path, config: Config) -> bool:
        """Whether "auto" may take it."""

    def ways(self, root: Path, config: Config) -> list[Way]:
        """How it can load, the best way first. Raises LoadFailed."""

    def lock(self, root: Path, config: Config) -> AbstractContextManager[None]:
        """Keeps out whoever else loads by the distribution's means, where these do not do that themselves."""


# In the order in which "auto" prefers them: where fadump is enabled no image can be loaded, and what an operator has
# only configured is for a machine without a distribution's own means.
LOADERS: dict[Loader, Module] = {
    Loader.FADUMP: fadump,
    Loader.KDUMPCTL: kdumpctl,
    Loader.SUSE: suse,
    Loader.KDUMP_TOOLS: kdump_tools,
    Loader.KEXEC: kexec,
    Loader.COMMAND: command,
}


def choose(root: Path, config: Config) -> Loader:
    """The configured loader, or with "auto" the one that is installed, an enabled one first.

    Raises LoadFailed where there is none.
    """
    if config.reload.loader is not Loader.AUTO:
        return config.reload.loader
    installed = [loader for loader, module in LOADERS.items() if module.is_installed(root, config)]
    enabled = [loader for loader in installed if is_enabled(root, LOADERS[loader].UNITS)]
    if found := enabled + installed:
        return found[0]
    raise LoadFailed(
        "no way to load a kdump image was found: install the distribution's kdump package, or name a kernel in "
        "[reload.kexec] of /etc/kdumphpd.toml"
    )


def is_enabled(root: Path, units: tuple[str, ...]) -> bool:
    """Whether systemd starts one of these units at boot: `systemctl enable` makes a link of its name."""
    return any(True for unit in units for _ in (root / "etc/systemd/system").glob(f"*.wants/{unit}"))
