# SPDX-License-Identifier: GPL-2.0-or-later
"""Is the machine protected? Pure. `status`, `check`, `doctor` and kdumphpd-check.service judge alike."""

from dataclasses import dataclass
from enum import StrEnum

from kdumphpd.cli import advice, exits
from kdumphpd.cli.facts import LOADERS, OURS, Facts, Units
from kdumphpd.protocol import Outcome
from kdumphpd.state import State
from kdumphpd.systemctl import AT_WORK
from kdumphpd.wishes import wanting

LONGEST_START = 30.0  # seconds between the end of one kdumphpd and the next one's word


class Protection(StrEnum):
    """What a panic in this moment would leave."""

    YES = "yes"
    IN_PART = "in part"  # a dump that may miss something, or fail
    NO = "NO"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Health:
    """A judgement."""

    protection: Protection
    exit: int  # of exits.py
    why: str = ""  # in words, where there is something to say
    hint: str = ""  # what to do, where that is known
    passing: bool = False  # somebody is at work on it: worth another look before anybody is called


def judge(facts: Facts) -> Health:
    """The judgement on `facts`, the same whoever asks."""
    if facts.loaded is None:
        return Health(Protection.UNKNOWN, exits.UNKNOWN, facts.problem)
    return _loaded(facts) if facts.loaded else _not_loaded(facts)


def _loaded(facts: Facts) -> Health:
    listener = facts.listener
    if listener is None:
        if facts.runs:
            why = f"an image is loaded, but kdumphpd does not say how it is: {facts.absence}"
            return Health(Protection.UNKNOWN, exits.UNKNOWN, why, hint=advice.restart(facts.units, OURS))
        why = "an image is loaded, but kdumphpd does not run, and so nobody keeps it up to date"
        return Health(Protection.UNKNOWN, exits.UNKNOWN, why, hint=advice.start(facts.units, OURS))
    if not listener.healthy:
        return Health(Protection.IN_PART, exits.WRONG, listener.status, hint=_remedy(listener, facts.units))
    if not listener.checks:
        return Health(Protection.YES, exits.ARMED, "an image is loaded, and kdumphpd is checking it", passing=True)
    return Health(Protection.YES, exits.ARMED)


def _remedy(listener: State, units: Units | None) -> str:
    """What to do about an image that is wrong."""
    if not listener.receiving:
        return advice.restart(units, OURS)
    if listener.last_check and listener.last_check.outcome == Outcome.MISSING:
        return "restart the distribution's kdump service, or stop it where no image is meant to be loaded"
    if listener.deferred_until:
        return "wait, or kdumphpctl rearm --now"
    return "fix what it names, then kdumphpctl rearm; kdumphpctl doctor looks at everything"


def _not_loaded(facts: Facts) -> Health:
    """Nobody is protected. Whether that is the operator's wish is what tells the exit statuses apart."""
    listener = facts.listener
    asking = listener is not None and listener.asking
    if (facts.last_load and facts.last_load.pending) or (listener and listener.pending):
        why = "kdumphpd has taken the image down for a reload, and "
        what = listener.failure if listener else ""
        if asking or not what:  # an operator's rearm is not the listener's business
            return Health(Protection.NO, exits.WRONG, f"{why}is loading another", passing=True)
        return Health(
            Protection.NO,
            exits.WRONG,
            f"{why}could not load another: {what}",
            hint="fix what the journal says (journalctl -u 'kdumphpd*'), then kdumphpctl rearm",
        )
    # What wants an image is systemd's to say, and it says it now; the listener's word may be of one that was there.
    if listener is not None and not listener.healthy and not facts.wishes:
        hint = _remedy(listener, facts.units)
        return Health(Protection.NO, exits.WRONG, listener.status, hint=hint, passing=asking)
    if (wish := _wish(facts.wishes)) is not None:
        return wish
    if not facts.crashkernel:
        why = "no memory is reserved for an image: the kernel was booted without crashkernel="
        return Health(
            Protection.NO, _unwanted(facts), why, hint="add crashkernel= to the kernel's command line, and reboot"
        )
    why = "no image is loaded, and none is meant to be: the distribution's kdump service is stopped or not set up"
    installed = next((unit for unit in LOADERS if unit in (facts.units or {})), None)
    hint = advice.start(facts.units, installed) if installed else "install or start the distribution's kdump service"
    return Health(Protection.NO, _unwanted(facts), why, hint=hint)


def _unwanted(facts: Facts) -> int:
    return exits.UNKNOWN if facts.listener is None else exits.NOT_LOADED


def _wish(units: Units) -> Health | None:
    """A unit of the distribution's that wants an image where none is; None for none, or where that is not known."""
    match wanting({unit: properties.get("ActiveState", "") for unit, properties in units.items()}):
        case None:
            return None
        case unit, "active":
            why = f"no image is loaded although {unit} is active: somebody has unloaded it, or it loaded none"
            return Health(Protection.NO, exits.WRONG, why, hint=advice.restart(units, unit))
        case unit, "failed":
            hint = f"systemctl status {unit}; {advice.restart(units, unit)}"
            return Health(Protection.NO, exits.WRONG, f"no image is loaded: {unit} has failed", hint=hint)
        case unit, state:
            return Health(Protection.NO, exits.WRONG, f"{unit} is {state}", passing=True)


def is_starting(facts: Facts, now: float) -> bool:
    """Whether systemd is about to have kdumphpd running again, and has not tried that for long.

    `now`: seconds of the monotonic clock, as systemd counts them.
    """
    if facts.active_state(OURS) not in AT_WORK:
        return False
    ours = (facts.units or {})[OURS]
    ran, restarts = ours.get("ActiveExitTimestampMonotonic", ""), ours.get("NRestarts", "")
    if ran.isdecimal() and int(ran):
        return now - int(ran) / 1e6 < LONGEST_START
    return not (restarts.isdecimal() and int(restarts) > 2)  # it has never run in this boot
