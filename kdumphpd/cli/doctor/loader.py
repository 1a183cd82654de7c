# SPDX-License-Identifier: GPL-2.0-or-later
"""Is there something of the distribution's that loads the image, and will it at the next boot?"""

import re
from collections.abc import Iterable

from kdumphpd.cli.doctor.finding import Finding, failure, ok, skipped
from kdumphpd.cli.doctor.probe import Family, Probe
from kdumphpd.cli.facts import LOADERS

NAME = "loader"
DEFAULTS = "etc/default/kdump-tools"


def check(probe: Probe) -> Iterable[Finding]:
    if probe.family is Family.NONE:
        yield failure(
            NAME,
            "no kdump of a distribution is installed (kdump-tools, kdump-utils, kdump)",
            "nothing loads an image at boot, and kdumphpd does not know what to load",
            "install it, or name a kernel in [reload.kexec] of kdumphpd.toml(5)",
        )
        return
    if probe.family is Family.DEBIAN and not _uses_kdump(probe.text(DEFAULTS) or ""):
        yield failure(
            NAME,
            f"USE_KDUMP is not 1 in /{DEFAULTS}",
            "kdump-tools is switched off and loads nothing",
            f"sed -i 's/^#*USE_KDUMP=.*/USE_KDUMP=1/' /{DEFAULTS}; systemctl restart kdump-tools",
        )
        return
    yield _unit(probe)


def _uses_kdump(text: str) -> bool:
    """By the last assignment, as a shell takes it. Without one kdump-config of Debian 13 is switched off."""
    values = re.findall(r"^\s*USE_KDUMP=[\"']?(\w*)", text, re.MULTILINE)
    return bool(values) and values[-1] not in ("", "0")


def _unit(probe: Probe) -> Finding:
    units = probe.facts.units
    if units is None:
        return skipped(NAME, "systemd does not answer, so whether kdump's unit is enabled is not known")
    found = {unit: units[unit] for unit in LOADERS if unit in units}
    if not found:
        return failure(NAME, "no unit of kdump's is installed", "nothing loads an image at boot", "install it again")
    for unit, state in found.items():
        enabled, active = state.get("UnitFileState", ""), state.get("ActiveState", "")
        if active == "failed":
            return failure(
                NAME, f"{unit} has failed", "it loads no image", f"journalctl -b -u {unit}; systemctl restart {unit}"
            )
        if enabled.startswith("enabled") or enabled in ("", "static", "generated"):
            return ok(NAME, f"{probe.family}: {unit} is {enabled or 'installed'} and {active}")
    unit = next(iter(found))
    return failure(
        NAME,
        f"{unit} is {found[unit].get('UnitFileState', 'not enabled')}",
        "no image is loaded after the next boot, and kdumphpd can't ask it what to load",
        f"systemctl enable --now {unit}",
    )
