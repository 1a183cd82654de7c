# SPDX-License-Identifier: GPL-2.0-or-later
"""Does kdumphpd run, and will it after the next boot?"""

from collections.abc import Iterable

from kdumphpd.cli import advice
from kdumphpd.cli.doctor.finding import Finding, failure, ok
from kdumphpd.cli.doctor.probe import Probe
from kdumphpd.cli.facts import OURS

NAME = "kdumphpd"
MEANS = "nobody keeps the image up to date but the distribution's udev rule"


def check(probe: Probe) -> Iterable[Finding]:
    units = probe.units
    if units is None or OURS not in units:
        if probe.facts.listener is not None:
            yield ok(NAME, "it runs; whether it does after the next boot systemd does not say")
        else:
            yield failure(NAME, probe.facts.absence, MEANS, advice.enable(units, OURS))
        return
    unit = units[OURS]
    enabled, active = unit["UnitFileState"], unit.get("ActiveState", "")
    if active == "active" and enabled != "enabled":
        lasts = " for this boot alone" if enabled == "enabled-runtime" else ""
        yield failure(NAME, f"{OURS} is {enabled}{lasts}", f"after the next boot {MEANS}", advice.enable(units, OURS))
    elif enabled != "enabled":
        yield failure(NAME, f"{OURS} is {active} and {enabled}", MEANS, advice.enable(units, OURS))
    elif active != "active":
        fix = f"journalctl -b -u {OURS}; {advice.restart(units, OURS)}"
        yield failure(NAME, f"{OURS} is {active}", MEANS, fix)
    elif probe.facts.listener is None:
        yield failure(NAME, probe.facts.absence, "its state is not known", advice.restart(units, OURS))
    elif not probe.facts.listener.receiving:
        yield failure(
            NAME, "it receives no uevents", "an image goes out of date unnoticed", advice.restart(units, OURS)
        )
    else:
        yield ok(NAME, f"{OURS} is enabled and active")
