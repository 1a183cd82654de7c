# SPDX-License-Identifier: GPL-2.0-or-later
"""What `kdumphpctl status` says: its judgement is one of the checks, so that nothing is fine here and wrong there."""

from collections.abc import Iterable

from kdumphpd.cli import exits
from kdumphpd.cli.doctor.finding import Finding, failure, ok, warning
from kdumphpd.cli.doctor.probe import Probe
from kdumphpd.cli.health import Protection, judge

NAME = "status"

MEANS = {
    Protection.YES: "the image may go out of date",
    Protection.IN_PART: "a dump may miss something or fail",
    Protection.NO: "a panic leaves no dump",
    Protection.UNKNOWN: "whether a panic leaves a whole dump is not known",
}

WAIT = "wait: somebody is at work on it; kdumphpctl watch says what comes of it"
NEXT = "journalctl -b -u 'kdumphpd*'"


def check(probe: Probe) -> Iterable[Finding]:
    health = judge(probe.facts)
    listener = probe.facts.listener
    why = health.why
    if listener is not None and listener.failure and listener.failure not in why:
        why = "; ".join(filter(None, (why, f"the last request failed: {listener.failure}")))
    fix = health.hint or (WAIT if health.passing else NEXT)
    if health.exit == exits.WRONG:
        yield failure(NAME, why, MEANS[health.protection], fix)
    elif health.exit != exits.ARMED or (listener is not None and listener.failure):
        yield warning(NAME, why, MEANS[health.protection], fix)
    else:
        yield ok(NAME, why or "armed, as far as is known")
