# SPDX-License-Identifier: GPL-2.0-or-later
"""/usr/libexec/kdumphpd/check-unit: keep kdumphpd-check.service failed exactly while something is wrong.

That unit runs `kdumphpctl status` and stays what came of it. Here it is restarted when it would say something else
now, and only then: whoever has an OnFailure= there is called once for each time that something goes wrong.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from kdumphpd.cli import exits, facts
from kdumphpd.cli.facts import OURS, Facts, ask_systemd
from kdumphpd.cli.health import is_starting, judge
from kdumphpd.runtime import CONDITION
from kdumphpd.systemctl import AT_WORK

UNIT = "kdumphpd-check.service"
LIMIT = 90.0  # seconds, for one call of systemctl

# For what passes by itself: a reload under way, a unit that is starting.
LONGEST_PASSING = 60.0  # seconds
# And for an image that somebody has unloaded, and may be about to load again: a `kdump-config reload` by hand.
LONGEST_MISSING = 10.0  # seconds
PAUSE = 1.0  # seconds


class Verb(StrEnum):
    """What systemctl is told to do with the unit."""

    RESTART = "restart"
    STOP = "stop"
    RESET = "reset-failed"


def main() -> None:
    sys.exit(follow(Path("/")))


def follow(root: Path, sleep: Callable[[float], None] = time.sleep) -> int:
    """Bring the unit up to date, again if the listener's word changes meanwhile; the exit status.

    systemd.path(5) does not notice a change while what it has started runs. The pause is for a listener that
    changes its word without end: one look a second is all that it gets.
    """
    end = time.monotonic() + LONGEST_PASSING
    while True:
        sleep(PAUSE)
        before = _condition(root)
        status = bring_up_to_date(root)
        if _condition(root) == before or time.monotonic() >= end:
            return status


def _condition(root: Path) -> bytes:
    """The listener's word; nothing where there is none. What lies there may be a FIFO, or a link."""
    try:
        with os.fdopen(os.open(root / CONDITION, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
            return file.read(100)
    except OSError:
        return b""


def bring_up_to_date(root: Path) -> int:
    """Look until what there is does not pass by itself, and act on it; the exit status."""
    end, missing = time.monotonic() + LONGEST_PASSING, time.monotonic() + LONGEST_MISSING
    while (units := ask_systemd((OURS, UNIT, *facts.LOADERS))) is not None:
        found = facts.read(root, units)
        now = time.monotonic()
        passing = now < end if is_passing(found) else now < missing and is_missing(found)
        if not passing:
            return _act(decide(found, now))
        time.sleep(PAUSE)
    # sd-daemon(3): the unit keeps what is less than a notice out of the journal.
    print("<4>systemd does not answer; trying again in a minute", file=sys.stderr)
    return exits.UNKNOWN


def _act(verb: Verb | None) -> int:
    if verb is None:
        return 0
    # To its end, so that the next look sees what came of it: a restart amid a start kills it, and that is a failure.
    # That it fails is no error here.
    subprocess.run(["systemctl", verb, UNIT], stderr=subprocess.DEVNULL, timeout=LIMIT, check=False)  # noqa: S607
    return 0


def is_passing(found: Facts) -> bool:
    """Whether somebody is at work, so that another look is worth more than this one. Pure."""
    # A listener that dies is "deactivating" as well, until systemd has noted that it will start it again.
    dying = found.active_state(OURS) == "deactivating"
    return judge(found).passing or dying or found.active_state(UNIT) in AT_WORK


def is_missing(found: Facts) -> bool:
    """Whether no image is loaded where one is wanted. Pure."""
    return not found.loaded and judge(found).exit == exits.WRONG


def decide(found: Facts, now_s: float) -> Verb | None:
    """What the unit needs, None for nothing. Pure. `now_s`: seconds of the monotonic clock."""
    now = found.active_state(UNIT)
    if found.active_state(OURS) in ("inactive", ""):
        # The operator has stopped kdumphpd, and the distribution's rule stands in for it: that is nobody's failure.
        return {"failed": Verb.RESET, "active": Verb.STOP}.get(now)
    if found.listener is None and found.loaded and is_starting(found, now_s):
        return None  # its first word will have us look again
    wanted = "active" if judge(found).exit in (exits.ARMED, exits.NOT_LOADED) else "failed"
    return None if now == wanted else Verb.RESTART


if __name__ == "__main__":
    main()
