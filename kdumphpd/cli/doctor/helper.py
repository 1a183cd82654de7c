# SPDX-License-Identifier: GPL-2.0-or-later
"""Can the helper be asked? systemd starts it for whoever connects to its socket."""

from collections.abc import Iterable

from kdumphpd.cli import advice
from kdumphpd.cli.doctor.finding import Finding, failure, ok, untold
from kdumphpd.cli.doctor.probe import Probe
from kdumphpd.runtime import SOCKET

NAME = "helper"
UNIT = "kdumphpd-helper.socket"
MEANS = "nobody can ask the helper, so the image is neither checked nor reloaded"


def check(probe: Probe) -> Iterable[Finding]:
    units = probe.units
    if units is None:
        if probe.exists(SOCKET):
            yield ok(NAME, f"/{SOCKET} is there; of {UNIT} systemd does not say anything")
        else:
            found = f"systemd does not answer, so whether {UNIT} is active is not known"
            yield untold(NAME, found, is_root=probe.is_root)
        return
    if UNIT not in units:
        yield failure(NAME, f"{UNIT} is not installed", MEANS, "install kdumphpd again")
        return
    active = units[UNIT].get("ActiveState", "")
    masked = advice.is_masked(units, UNIT)
    if active == "failed":
        fix = f"journalctl -b -u {UNIT}; {advice.restart(units, UNIT)}"
        yield failure(NAME, f"{UNIT} has failed", MEANS, fix)
    elif active != "active":
        found = f"{UNIT} is masked" if masked else f"{UNIT} is {active}"
        yield failure(NAME, found, MEANS, advice.start(units, UNIT))
    elif masked:
        yield failure(NAME, f"{UNIT} is masked", f"after the next boot {MEANS}", advice.start(units, UNIT))
    elif not probe.exists(SOCKET):
        yield failure(NAME, f"{UNIT} is active, and /{SOCKET} is gone", MEANS, advice.restart(units, UNIT))
    else:
        yield ok(NAME, f"{UNIT} is active")
