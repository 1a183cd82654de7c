# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading as openSUSE's and SLES' kdump does: load.sh, straight over the old image.

Without --update, as kdump's own udev rule calls it: hotplug changes nothing in the initrd, and building one takes
minutes in which the image stays as it is.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from kdumphpd.config import Config
from kdumphpd.reload.run import APART, CommandFailed, LoadFailed, run_apart
from kdumphpd.reload.way import Method, Way

UNITS: tuple[str, ...] = ("kdump.service", "kdump-early.service", "kdump-commandline.service", APART)
LOAD = "/usr/lib/kdump/load.sh"

# The second is a link to the kernel that the first was built for.
INITRD = Path("/var/lib/kdump/initrd")
KERNEL = Path("/var/lib/kdump/kernel")

# load.sh says these by its exit status alone.
MEANINGS = {
    5: "KDUMP_FADUMP is set in /etc/sysconfig/kdump, but the kernel was not booted with fadump=on: do the one, or "
    "undo the other",
    6: f"{KERNEL} or {INITRD} is missing: `systemctl restart kdump.service` builds them",
}


def is_installed(root: Path, config: Config) -> bool:
    return (root / LOAD.lstrip("/")).exists()


def ways(root: Path, config: Config) -> list[Way]:
    return [Way("load.sh", Method.OWN, load, kernel=KERNEL, initrd=INITRD)]


@contextlib.contextmanager
def lock(root: Path, config: Config) -> Iterator[None]:
    """/run/kdump.lock is taken by whoever loads, without waiting: held by us, the load would not take place."""
    yield


def load(timeout: float) -> None:
    """Raises LoadFailed."""
    try:
        run_apart([LOAD], timeout)
    except CommandFailed as error:
        if meaning := MEANINGS.get(error.status):
            raise LoadFailed(f"{error}; {meaning}") from error
        raise
