# SPDX-License-Identifier: GPL-2.0-or-later
"""How long the machine was unprotected or its image stale, and how often what happened: what metrics are made of.

Pure: no I/O and no clock. Every method is told the time (seconds of any monotonic clock).
"""

from collections import Counter
from dataclasses import dataclass, field

from kdumphpd.kernel.crash_hotplug import Subsystem
from kdumphpd.listener.schedule import RIGHT
from kdumphpd.protocol import NOT_STALE, Outcome, Result, Totals
from kdumphpd.state import Condition, State

# Seconds. A kexec straight over the old image takes tens of milliseconds, a distribution's own reload seconds.
UNPROTECTED_BOUNDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
# From a settle time and a reading of the image up to a reload that is deferred by an hour.
STALE_BOUNDS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3600.0)


@dataclass(slots=True)
class Spent:
    """Time that was spent in one condition, in spans; one of them may be open. In seconds."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)  # of closed spans up to each bound, and of all others
    closed: float = 0.0
    since: float | None = None  # when the open span began

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, seconds: float) -> None:
        """A span of so many seconds that has ended."""
        self.closed += seconds
        place = next((index for index, bound in enumerate(self.bounds) if seconds <= bound), len(self.bounds))
        self.counts[place] += 1

    def begin(self, at: float) -> None:
        if self.since is None:
            self.since = at

    def end(self, at: float) -> None:
        if self.since is not None:
            self.add(max(0.0, at - self.since))
            self.since = None

    def total(self, now: float) -> float:
        return self.closed + (max(0.0, now - self.since) if self.since is not None else 0.0)


class Tally:
    """Counts since the listener's start."""

    def __init__(self) -> None:
        self.events = Counter(dict.fromkeys(Subsystem, 0))
        self.reloads = Counter({"reloaded": 0, "failed": 0, "stale": 0, "unsafe": 0})
        self.unprotected = Spent(UNPROTECTED_BOUNDS)
        self.stale = Spent(STALE_BOUNDS)
        self.seen: tuple[Condition, bool | None] | None = None  # the condition, and whether an image is loaded
        self.crashkernel: int | None = None  # bytes that are reserved for the image; None: not known
        self._totals: Totals | None = None  # the helper's, at its last answer

    def answered(self, result: Result, opened: float | None, now: float) -> None:
        """The helper has answered. `opened`: when the burst began that it was asked about."""
        if result.outcome is Outcome.FAILED:
            self.reloads["failed"] += 1
        elif result.method:
            # One that the machine outran was a reload all the same.
            known = result.outcome if result.outcome in self.reloads else Outcome.RELOADED
            self.reloads[str(known)] += 1
        if result.outcome not in RIGHT and result.reason not in NOT_STALE:
            self.stale.begin(now - result.seconds if opened is None else opened)
        if result.pending and not result.armed:
            self.unprotected.begin(now - result.unprotected)
        elif result.unprotected and self.unprotected.since is None:
            self.unprotected.add(result.unprotected)

    def others(self, result: Result) -> Totals:
        """Count what was reloaded since the last answer by other requests than that of `result`."""
        before, self._totals = self._totals, result.totals or self._totals
        if before is None or result.totals is None:
            return Totals()
        found = Totals(
            max(0, result.totals.reloads - before.reloads - bool(result.method)),
            max(0.0, result.totals.unprotected - before.unprotected - result.unprotected),
        )
        self.reloads[str(Outcome.RELOADED)] += found.reloads
        if found.reloads and self.unprotected.since is None:
            self.unprotected.add(found.unprotected)
        return found

    def saw(self, state: State, now: float) -> bool:
        """Take note of how things stand; whether a panic would leave something else behind than before."""
        for spent, condition in ((self.unprotected, Condition.UNPROTECTED), (self.stale, Condition.WRONG)):
            if state.condition is condition:
                spent.begin(now)
            else:
                spent.end(now)
        before, self.seen = self.seen, (state.condition, state.loaded)
        return before != self.seen
