# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading the kdump image anew: one small module a loader, all with the same `load`."""

from collections.abc import Callable
from pathlib import Path

from kdumphpd.config import Config, Loader
from kdumphpd.reload import kdump_tools, kexec
from kdumphpd.reload.run import LoadFailed

# Loads the image as the configuration says, over the old one. Raises LoadFailed.
Load = Callable[[Path, Config], None]

LOADERS: dict[Loader, Load] = {
    Loader.KDUMP_TOOLS: kdump_tools.load,
    Loader.KEXEC: kexec.load,
}


def choose(root: Path, config: Config) -> Loader:
    """The configured loader, or with "auto" the one that is installed. Raises LoadFailed where there is none."""
    if config.reload.loader is not Loader.AUTO:
        return config.reload.loader
    if kdump_tools.is_installed(root):
        return Loader.KDUMP_TOOLS
    if config.reload.kexec.kernel:
        return Loader.KEXEC
    raise LoadFailed(
        "no way to load a kdump image was found: install kdump-tools, or name a kernel in [reload.kexec] "
        "of /etc/kdumphpd.toml"
    )
