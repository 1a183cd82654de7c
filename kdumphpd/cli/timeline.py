# SPDX-License-Identifier: GPL-2.0-or-later
"""What the journal tells of a stretch of time: in which condition the machine was when, bursts, reloads. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from kdumphpd.cli.entries import Entry
from kdumphpd.cli.placing import place
from kdumphpd.protocol import NOT_STALE, Outcome


class Phase(StrEnum):
    """What a panic would have left behind at that time."""

    PROTECTED = "protected"
    STALE = "stale"
    UNPROTECTED = "unprotected"
    STOPPED = "stopped"  # no image, as the operator wished
    UNWATCHED = "not watched"  # kdumphpd did not run, or had not checked yet


NO_IMAGE = frozenset({Phase.UNPROTECTED, Phase.STOPPED})

# What an outcome leaves behind where an image is loaded.
AFTER: Mapping[str, Phase] = {
    Outcome.CURRENT: Phase.PROTECTED,
    Outcome.UNVERIFIED: Phase.PROTECTED,
    Outcome.RELOADED: Phase.PROTECTED,
    Outcome.NOT_LOADED: Phase.STOPPED,
}

SILENT = frozenset({"refused", "configured"})  # kinds that say nothing about the image
ERROR = 3  # syslog(3)


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds since the epoch."""

    begin: float
    end: float
    phase: Phase
    sentence: str = ""  # of the entry that it began or ended with

    @property
    def seconds(self) -> float:
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Timeline:
    """Spans lie side by side; there are none of length 0. `requests`: entries of bursts and of reloads."""

    begin: float
    end: float
    spans: Sequence[Span] = ()
    requests: Sequence[Entry] = ()
    turns: Sequence[Entry] = ()  # starts, stops and deaths

    def of(self, phase: Phase) -> list[Span]:
        return [span for span in self.spans if span.phase is phase]

    def seconds(self, phase: Phase) -> float:
        return sum(span.seconds for span in self.of(phase))


@dataclass
class _Builder:
    since: float
    spans: list[Span] = field(default_factory=list)
    phase: Phase = Phase.UNWATCHED
    sentence: str = ""
    deaf: bool = False  # no uevents are received

    def turn(self, at: float, phase: Phase, sentence: str) -> None:
        """Another phase begins; not before the one that is open."""
        at = max(at, self.since)
        if phase is self.phase:
            return
        if at > self.since:
            self.spans.append(Span(self.since, at, self.phase, self.sentence))
        self.since, self.phase, self.sentence = at, phase, sentence

    def watched(self, entry: Entry, last: Entry | None) -> None:
        """The listener has started, stopped or died."""
        if last is not None and entry.kind == "started":
            # Where the journal has no word of its end, nobody vouches for what came after its last entry.
            self.turn(last.when, Phase.UNWATCHED, entry.sentence)
        self.turn(entry.when, Phase.UNWATCHED, entry.sentence)
        self.deaf = False

    def lost(self, entry: Entry) -> None:
        """Uevents were lost. An error: none are received from now on; else they are, and an answer follows."""
        self.deaf = entry.priority <= ERROR
        if self.deaf:
            self._doubt(entry.when, entry)

    def request(self, entry: Entry) -> None:
        if entry.kind == "no answer" or not entry.outcome:
            # Nobody knows what became of an image that was right; one that was not there is not there now.
            self._doubt(entry.when - max(entry.elapsed, entry.seconds), entry)
            return
        was_stale = entry.outcome == Outcome.RELOADED and entry.reason not in NOT_STALE | {""}
        wrong = entry.outcome not in AFTER or was_stale
        if wrong and self.phase not in NO_IMAGE:
            self.turn(entry.when - max(entry.elapsed, entry.seconds), Phase.STALE, entry.sentence)
        if entry.unprotected:
            self.turn(entry.when - entry.unprotected, Phase.UNPROTECTED, entry.sentence)
        self.turn(entry.when, self._after(entry), entry.sentence)

    def _after(self, entry: Entry) -> Phase:
        after = AFTER.get(entry.outcome, Phase.STALE)
        if after is Phase.STOPPED:
            return Phase.STOPPED
        if entry.armed is False:
            return Phase.UNPROTECTED
        if entry.armed is None and entry.outcome not in AFTER and self.phase in NO_IMAGE:
            return self.phase
        return Phase.STALE if self.deaf else after

    def _doubt(self, at: float, entry: Entry) -> None:
        if self.phase is Phase.PROTECTED:
            self.turn(at, Phase.STALE, entry.sentence)


def build(
    entries: Iterable[Entry], now: float | None, *, monotonic: float = 0.0, runs: bool = True
) -> Timeline | None:
    """The timeline of entries, in the journal's order; None of none.

    `now`: seconds since the epoch, where the last entry is of the running boot; None: nothing is known of what came
    after it. `monotonic`: the same moment by the other clock; 0: not known. `runs`: the listener does then.
    """
    placed, end_now = place(entries, now, monotonic)
    if not placed:
        return None
    begin = placed[0].when - placed[0].elapsed
    builder, requests, turns = _Builder(begin), [], []
    last = None
    for entry in placed:
        if last is not None and entry.boot != last.boot:
            # The machine went down some time after its last entry.
            builder.turn(last.when, Phase.UNWATCHED, "another boot")
            builder.deaf = False
        if entry.kind in ("started", "stopped", "died"):
            turns.append(entry)
            builder.watched(entry, last)
        elif entry.kind == "lost":
            builder.lost(entry)
        elif entry.kind not in SILENT:
            builder.request(entry)
            if entry.events or entry.seconds or entry.kind not in ("current", "updated", "not loaded"):
                requests.append(entry)
        last = entry
    if not runs:
        builder.turn(placed[-1].when, Phase.UNWATCHED, "kdumphpd does not run")
    end = max(placed[-1].when, end_now or 0.0)
    if end > builder.since:
        builder.spans.append(Span(builder.since, end, builder.phase, builder.sentence))
    return Timeline(begin, end, builder.spans, requests, turns)
