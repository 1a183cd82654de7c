# SPDX-License-Identifier: GPL-2.0-or-later
"""Follow how things stand: a line for every change, until it is interrupted.

Exit status: 0 it was interrupted, or whoever read it has gone away.
"""

import argparse
import dataclasses
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kdumphpd import state
from kdumphpd.cli import exits, output
from kdumphpd.cli.history import line
from kdumphpd.cli.output import Json, Tone
from kdumphpd.runtime import STATE
from kdumphpd.state import Condition, State

# The file is replaced at each change: a stat(2) so often costs less than what would have to be watched with
# inotify(7), the folder included, which comes and goes with the daemon.
PERIOD = 0.2  # seconds

UNKNOWN = "unknown"  # kdumphpd does not run

# A status that counts down changes with every file.
COUNTDOWN = re.compile(r"; next try in \d+ s$")

TONES = {
    Condition.ARMED: Tone.GOOD,
    Condition.WRONG: Tone.DOUBTFUL,
    Condition.UNPROTECTED: Tone.BAD,
    UNKNOWN: Tone.DOUBTFUL,
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a change is a change of. `when`: seconds since the epoch, the burst's end where one has ended."""

    when: float
    condition: str  # a state.Condition, or UNKNOWN
    sentence: str
    burst: float = 0.0  # when the last burst ended


def run(options: argparse.Namespace, root: Path) -> int:
    last: Seen | None = None
    mark: object = ""
    try:
        while True:
            # The mark first: what is written between the two is seen the next time.
            found = _mark(root)
            if found != mark:
                mark = found
                now = time.time()
                for seen in changes(last, look(root, now), now):
                    if not _say(options, seen):
                        return exits.ARMED
                    last = seen
            time.sleep(PERIOD)
    except KeyboardInterrupt:
        return exits.ARMED


def look(root: Path, now: float) -> State | Seen:
    """The listener's state, or what is to be said in its place."""
    try:
        return state.read(root)
    except state.StateError as error:
        return Seen(now, UNKNOWN, str(error))


def changes(last: Seen | None, found: State | Seen, now: float) -> Iterator[Seen]:
    """What is to be said after `last` was: a burst that has ended since, and how things stand now."""
    if isinstance(found, Seen):
        standing = dataclasses.replace(found, burst=last.burst if last else 0.0)
    else:
        is_now, burst = found.condition, found.last_burst
        # After a restart there is none at first.
        ended = burst.ended if burst else 0.0
        standing = Seen(now, is_now, COUNTDOWN.sub("", found.status), ended)
        if burst and last is not None and ended != last.burst:
            last = Seen(ended, is_now, burst.sentence, ended)
            yield last
    if last is None or (standing.condition, standing.sentence) != (last.condition, last.sentence):
        yield standing


def _mark(root: Path) -> tuple[int, int] | None:
    """Changes with every state file that is written."""
    try:
        status = (root / STATE).lstat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _say(options: argparse.Namespace, seen: Seen) -> bool:
    """Whether anybody still reads it."""
    if options.quiet:
        return True
    if output.wants_json(options):
        # A line an object, on a terminal too: no text has an end here that a program could wait for.
        mode = Json.SHORT if options.json is Json.AUTO else options.json
        content = {"when": seen.when, "condition": seen.condition, "sentence": seen.sentence}
        return output.write(output.as_json(mode, content))
    row = line(seen.when, seen.condition, TONES.get(seen.condition), seen.sentence)
    return output.write(output.as_text([row]))
