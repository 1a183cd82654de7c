# SPDX-License-Identifier: GPL-2.0-or-later
"""What systemd says of the distribution's own units: what they load or unload is the operator's wish.

Where systemd does not answer, nothing is known: that is never a reason to wait, to unload or to load.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kdumphpd import systemctl, wishes
from kdumphpd.load.run import SYSTEMCTL, SYSTEMCTL_LIMIT, LoadFailed, run
from kdumphpd.systemctl import AT_WORK

PAUSE = 0.1  # seconds

RUNNING = frozenset({"active", "activating", "reloading", "refreshing"})
ENABLED = frozenset({"enabled", "enabled-runtime"})
DISABLED = frozenset({"disabled", "masked", "masked-runtime"})

PROPERTIES = ("LoadState", "ActiveState", "UnitFileState", "StateChangeTimestampMonotonic", "InvocationID", "Job")


@dataclass(frozen=True)
class UnitState:
    """A unit that systemd knows; the words are systemd's own."""

    name: str
    active: str  # ActiveState
    enabled: str = ""  # UnitFileState
    changed: str = ""  # StateChangeTimestampMonotonic, to be compared
    invocation: str = ""  # InvocationID
    job: bool = False  # whether it is about to be started or stopped


States = tuple[UnitState, ...] | None
"""None: systemd did not answer."""


class Idle(NamedTuple):
    """How a wait for units ended."""

    waited: bool  # whether one of them was at work
    states: States  # as last seen


def read(units: Sequence[str], ask: Callable[[Sequence[str], float], str] = run) -> States:
    """The states of those units that exist, by one call; None where systemd does not answer."""
    if not units:
        return ()
    try:
        answer = ask([SYSTEMCTL, *systemctl.show(units, PROPERTIES)], SYSTEMCTL_LIMIT)
    except LoadFailed:
        return None
    found = systemctl.parse(answer, units)
    if found is None:
        return None
    return tuple(
        UnitState(
            name=unit,
            active=properties["ActiveState"],
            enabled=properties.get("UnitFileState", ""),
            changed=properties.get("StateChangeTimestampMonotonic", ""),
            invocation=properties.get("InvocationID", ""),
            job=properties.get("Job", "0") not in ("", "0"),
        )
        for unit, properties in found.items()
    )


def wait_until_idle(
    units: Sequence[str],
    limit: float,
    read: Callable[[Sequence[str]], States] = read,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Idle:
    """Wait for those of `units` that are at work, `limit` seconds at most.

    Raises LoadFailed where one is at work for longer.
    """
    end = clock() + limit
    waited = False
    while True:
        states = read(units)
        busy = [state for state in states or () if state.active in AT_WORK]
        if not busy:
            return Idle(waited, states)
        if clock() >= end:
            named = " and ".join(f"{state.name} ({state.active})" for state in busy)
            raise LoadFailed(
                f"{named} has been at work for {limit:g} s: `systemctl status {busy[0].name}` shows what it waits for"
            )
        waited = True
        sleep(PAUSE)


def wanting(states: States, *, switched_off: bool = False) -> str:
    """Which unit wants an image where none is loaded, in words; empty for none, or where that is not known."""
    actives = {state.name: "activating" if state.job else state.active for state in states or ()}
    match wishes.wanting(wishes.wishes(actives, switched_off=switched_off)):
        case unit, "active":
            return f"{unit} is active: somebody has unloaded the image, or it loaded none"
        case unit, "failed":
            return f"{unit} has failed"
        case _:
            return ""


def was_stopped(before: States, now: States) -> bool:
    """Whether somebody has stopped, disabled or masked one of the units, and none of them runs or is about to.

    One that has failed was not stopped. What is not known is no evidence.
    """
    if before is None or now is None:
        return False
    wishing = wishes.wishes({state.name: state for state in now})
    if any(state.active in RUNNING or state.job for state in wishing.values()):
        return False
    earlier = {state.name: state for state in before}
    return any(
        (earlier[state.name].active in RUNNING and state.active == "inactive")
        or (earlier[state.name].enabled in ENABLED and state.enabled in DISABLED)
        for state in now
        if state.name in earlier
    )


def was_at_work(before: States, now: States) -> bool:
    """Whether one of the units has begun or ended something in between; False where that is not known."""
    if before is None or now is None:
        return False
    earlier = {state.name: state for state in before}
    return any(_differs(earlier[state.name], state) for state in now if state.name in earlier)


def _differs(before: UnitState, now: UnitState) -> bool:
    # systemd forgets an inactive unit that nothing refers to, and its times with it: they read as 0 afterwards.
    forgotten = before.active == now.active == "inactive" and now.changed in ("", "0")
    return not forgotten and (before.active, before.changed, before.invocation) != (
        now.active,
        now.changed,
        now.invocation,
    )
