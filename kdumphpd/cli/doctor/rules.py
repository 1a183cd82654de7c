# SPDX-License-Identifier: GPL-2.0-or-later
"""Does a udev rule of somebody else's reload the image beside kdumphpd?"""

import re
from collections.abc import Iterable

from kdumphpd.cli.doctor.finding import Finding, ok, warning
from kdumphpd.cli.doctor.probe import Probe

NAME = "udev rules"

# The first folder that has a name wins, udev(7).
FOLDERS = ("etc/udev/rules.d", "run/udev/rules.d", "usr/local/lib/udev/rules.d", "usr/lib/udev/rules.d")
OURS = "usr/lib/kdumphpd/udev"

# A rule for CPUs or memory that runs something of kdump's.
HOTPLUG = re.compile(r"SUBSYSTEM==\"(?:cpu|memory)\"")
RELOAD = re.compile(r"kdump|kexec", re.IGNORECASE)


def check(probe: Probe) -> Iterable[Finding]:
    competing = sorted(in_force(probe))
    if not competing:
        yield ok(NAME, "none of somebody else's reloads the image at hotplug")
    elif probe.facts.listener is None:
        named = ", ".join(competing)
        yield ok(NAME, f"{named} reloads the image at hotplug, for kdumphpd does not run")
    else:
        yield warning(
            NAME,
            f"{', '.join(competing)} reloads the image at hotplug, beside kdumphpd",
            "every event unloads and loads the image once more",
            _fix(competing),
        )


def _fix(competing: list[str]) -> str:
    if any(path.startswith("/etc/") for path in competing):
        return "remove it, for /etc wins over kdumphpd's mask; then udevadm control --reload"
    return "systemctl restart kdumphpd, which masks it again"


def in_force(probe: Probe) -> Iterable[str]:
    """The paths of such rules that udev goes by."""
    seen: set[str] = set()
    for folder in FOLDERS:
        for path in probe.glob(f"{folder}/*.rules"):
            name = path.name
            if name in seen:
                continue
            seen.add(name)
            text = probe.text(f"{folder}/{name}") or ""
            lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
            masked = path.is_symlink() and OURS in str(path.readlink())
            if not masked and any(map(HOTPLUG.search, lines)) and any(map(RELOAD.search, lines)):
                yield f"/{folder}/{name}"
