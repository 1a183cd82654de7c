# SPDX-License-Identifier: GPL-2.0-or-later
"""Does kdumphpd run, and will it after the next boot?"""

from collections.abc import Iterable

from kdumphpd.cli.doctor.finding import Finding, failure, ok
from kdumphpd.cli.doctor.probe import Probe
from kdumphpd.cli.facts import OURS

NAME = "kdumphpd"
MEANS = "nobody keeps the image up to date but the distribution's udev rule"


def check(probe: Probe) -> Iterable[Finding]:
    units = probe.facts.units
    if units is None or "UnitFileState" not in units.get(OURS, {}):
        if probe.facts.listener is not None:
            yield ok(NAME, "it runs; whether it does after the next boot systemd does not say")
        else:
            yield failure(NAME, probe.facts.absence, MEANS, f"systemctl enable --now {OURS}")
        return
    unit = units[OURS]
    enabled, active = unit["UnitFileState"], unit.get("ActiveState", "")
    if active != "active":
        yield failure(NAME, f"{OURS} is {active}", MEANS, f"journalctl -b -u {OURS}; systemctl restart {OURS}")
    elif not enabled.startswith("enabled"):
        yield failure(NAME, f"{OURS} is {enabled}", f"after the next boot {MEANS}", f"systemctl enable {OURS}")
    elif probe.facts.listener is None:
        yield failure(NAME, probe.facts.absence, "its state is not known", f"systemctl restart {OURS}")
    elif not probe.facts.listener.receiving:
        yield failure(
            NAME, "it receives no uevents", "an image goes out of date unnoticed", f"systemctl restart {OURS}"
        )
    else:
        yield ok(NAME, f"{OURS} is enabled and active")
