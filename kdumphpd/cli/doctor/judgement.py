# SPDX-License-Identifier: GPL-2.0-or-later
"""What `kdumphpctl status` says: its judgement is one of the checks, so that nothing is fine here and wrong there."""

from collections.abc import Iterable

from kdumphpd.cli import exits
from kdumphpd.cli.doctor.finding import Finding, failure, ok, warning
from kdumphpd.cli.doctor.probe import Probe
from kdumphpd.cli.health import Protection, judge
from kdumphpd.protocol import Outcome
from kdumphpd.state import State

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
    failed, why = _failure(probe.facts.listener), health.why
    if failed and failed not in why:
        why = "; ".join(filter(None, (why, f"the last request failed: {failed}")))
    fix = health.hint or (WAIT if health.passing else NEXT)
    if health.exit == exits.WRONG:
        yield failure(NAME, why, MEANS[health.protection], fix)
    elif health.exit != exits.ARMED or failed:
        yield warning(NAME, why, MEANS[health.protection], fix)
    else:
        yield ok(NAME, why or "armed, as far as is known")


def _failure(listener: State | None) -> str:
    """Why the last request failed; empty where it did not, or what is missing is the judgement's to say."""
    if listener is None or (listener.last_check and listener.last_check.outcome == Outcome.MISSING):
        return ""
    return listener.failure
