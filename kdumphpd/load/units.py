# SPDX-License-Identifier: GPL-2.0-or-later
"""What systemd says of the distribution's own units: what they load or unload is the operator's wish.

Where systemd does not answer, nothing is known: that is never a reason to wait, to unload or to load.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kdumphpd.load.run import SYSTEMCTL, SYSTEMCTL_LIMIT, LoadFailed, run

PAUSE = 0.1  # seconds

AT_WORK = frozenset({"activating", "deactivating", "reloading", "refreshing"})
RUNNING = frozenset({"active", "activating", "reloading", "refreshing"})
ENABLED = frozenset({"enabled", "enabled-runtime"})
DISABLED = frozenset({"disabled", "masked", "masked-runtime"})

# openSUSE's, which load at boot before kdump.service does, and stay active when that is stopped.
EARLIER = frozenset({"kdump-early.service", "kdump-commandline.service"})

PROPERTIES = "LoadState,ActiveState,UnitFileState,StateChangeTimestampMonotonic,InvocationID,Job"


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
        answer = ask([SYSTEMCTL, "show", f"--property={PROPERTIES}", *units], SYSTEMCTL_LIMIT)
    except LoadFailed:
        return None
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in answer.split("\n\n")]
    # One block a unit, in this order; by the name that was asked for, which may be an alias of the unit's Id.
    if len(blocks) != len(units) or not all({"LoadState", "ActiveState"} <= block.keys() for block in blocks):
        return None
    return tuple(
        UnitState(
            name=unit,
            active=block["ActiveState"],
            enabled=block.get("UnitFileState", ""),
            changed=block.get("StateChangeTimestampMonotonic", ""),
            invocation=block.get("InvocationID", ""),
            job=block.get("Job", "0") not in ("", "0"),
        )
        for unit, block in zip(units, blocks, strict=True)
        if block["LoadState"] != "not-found"
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


def wishes(states: Sequence[UnitState]) -> tuple[UnitState, ...]:
    """Those that say by being active that an image is to be loaded."""
    return tuple(state for state in states if state.name not in EARLIER) or tuple(states)


def wanting(states: States) -> str:
    """Which unit wants an image where none is loaded, in words; empty for none, or where that is not known."""
    for state in wishes(states or ()):
        if state.job or state.active in AT_WORK:
            return ""
        if state.active == "active":
            return f"{state.name} is active: somebody has unloaded the image, or it loaded none"
        if state.active == "failed":
            return f"{state.name} has failed"
    return ""


def was_stopped(before: States, now: States) -> bool:
    """Whether somebody has stopped, disabled or masked one of the units, and none of them runs or is about to.

    One that has failed was not stopped. What is not known is no evidence.
    """
    if before is None or now is None or any(state.active in RUNNING or state.job for state in wishes(now)):
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
