# SPDX-License-Identifier: GPL-2.0-or-later
"""Is there something of the distribution's that loads the image, and will it at the next boot?"""

from collections.abc import Iterable

from kdumphpd.cli import advice
from kdumphpd.cli.doctor.finding import Finding, failure, ok, skipped
from kdumphpd.cli.doctor.probe import Probe
from kdumphpd.cli.doctor.settings import configured
from kdumphpd.cli.facts import LOADERS
from kdumphpd.config import LoaderChoice
from kdumphpd.use_kdump import ASSIGNED, DEFAULTS, switches_off

NAME = "loader"
UNIT = "kdump-tools.service"

CHANGE = r"sed -Ei 's/^([ \t]*(export[ \t]+)?USE_KDUMP)=.*/\1=1/'"
APPEND = r"printf '\nUSE_KDUMP=1\n' >>"  # a file may have no end of its last line

# systemd starts a unit in one of these states at boot; "enabled-runtime" is gone by then.
STARTED_AT_BOOT = ("enabled", "", "static", "generated")


def check(probe: Probe) -> Iterable[Finding]:
    reload = configured(probe).reload
    if probe.loader is None and (reload.kexec.kernel or reload.command):
        yield ok(NAME, "kdumphpd.toml says what is loaded; that something loads it at boot is up to the site")
        return
    if probe.loader is None:
        yield failure(
            NAME,
            "no kdump of a distribution is installed (kdump-tools, kdump-utils, kdump)",
            "nothing loads an image at boot, and kdumphpd does not know what to load",
            "install it; or load an image at boot and name its kernel in [reload.kexec] of kdumphpd.toml(5)",
        )
        return
    if probe.loader is LoaderChoice.KDUMP_TOOLS:
        text = probe.text(DEFAULTS) or ""
        if switches_off(text):
            switch_on = CHANGE if ASSIGNED.search(text) else APPEND
            yield failure(
                NAME,
                f"USE_KDUMP is not 1 in /{DEFAULTS}",
                "kdump-tools is switched off and loads nothing",
                f"{switch_on} /{DEFAULTS}; {advice.restart(probe.units, UNIT)}",
            )
            return
    yield _unit(probe)


def _unit(probe: Probe) -> Finding:
    units = probe.units
    if units is None:
        return skipped(NAME, "systemd does not answer, so whether kdump's unit is enabled is not known")
    found = {unit: units[unit] for unit in LOADERS if unit in units}
    if not found:
        return failure(NAME, "no unit of kdump's is installed", "nothing loads an image at boot", "install it again")
    for unit, state in found.items():
        enabled, active = state.get("UnitFileState", ""), state.get("ActiveState", "")
        if active == "failed":
            fix = f"journalctl -b -u {unit}; {advice.restart(units, unit)}"
            return failure(NAME, f"{unit} has failed", "it loads no image", fix)
        if enabled in STARTED_AT_BOOT and not advice.is_masked(units, unit):
            return ok(NAME, f"{probe.loader}: {unit} is {enabled or 'installed'} and {active}")
    unit = next((unit for unit in found if found[unit].get("UnitFileState") == "enabled-runtime"), next(iter(found)))
    enabled = found[unit].get("UnitFileState") or "masked"
    return failure(
        NAME,
        f"{unit} is {enabled} for this boot alone" if enabled == "enabled-runtime" else f"{unit} is {enabled}",
        "no image is loaded after the next boot, and kdumphpd can't ask it what to load",
        advice.enable(units, unit),
    )
