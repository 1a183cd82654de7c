# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for the distribution's own units: what they load or unload at this moment is the operator's wish."""

import time
from collections.abc import Callable, Sequence

from kdumphpd.reload.run import LoadFailed, run

SYSTEMCTL_TIMEOUT = 25.0  # seconds; longer than systemd's own for a call
PAUSE = 0.1  # seconds
AT_WORK = frozenset({"activating", "deactivating", "reloading", "refreshing"})


def wait_until_idle(
    units: Sequence[str], timeout: float, states: Callable[[Sequence[str]], list[str]] | None = None
) -> bool:
    """Whether any of `units` was at work and had to be waited for. Raises LoadFailed where one takes too long."""
    ask = states or active_states
    end = time.monotonic() + timeout
    waited = False
    while units and (busy := AT_WORK.intersection(ask(units))):
        if time.monotonic() > end:
            raise LoadFailed(f"{' or '.join(units)} has been {' and '.join(sorted(busy))} for {timeout:g} s")
        waited = True
        time.sleep(PAUSE)
    return waited


def active_states(units: Sequence[str]) -> list[str]:
    """What systemd says of them; nothing where it does not answer: then the locks are all there is."""
    return _ask("ActiveState", units)


def last_changes(units: Sequence[str]) -> list[str]:
    """When each began or ended something, in words to compare; nothing where systemd does not answer."""
    return _ask("StateChangeTimestampMonotonic", units)


def _ask(name: str, units: Sequence[str]) -> list[str]:
    try:
        return run(["systemctl", "show", f"--property={name}", "--value", *units], SYSTEMCTL_TIMEOUT).split()
    except LoadFailed:
        return []
