# SPDX-License-Identifier: GPL-2.0-or-later
"""What the journal tells of a stretch of time: in which condition the machine was when, bursts, reloads. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from kdumphpd.cli.entries import Entry
from kdumphpd.protocol import Outcome, Reason


class Phase(StrEnum):
    """What a panic would have left behind at that time."""

    PROTECTED = "protected"
    STALE = "stale"
    UNPROTECTED = "unprotected"
    STOPPED = "stopped"  # no image, as the operator wished
    UNWATCHED = "not watched"  # kdumphpd did not run, or had not checked yet


# What an outcome leaves behind where an image is loaded; no outcome: the helper gave no answer.
AFTER = {
    Outcome.CURRENT: Phase.PROTECTED,
    Outcome.UNVERIFIED: Phase.PROTECTED,
    Outcome.RELOADED: Phase.PROTECTED,
    Outcome.NOT_LOADED: Phase.STOPPED,
}
# The image described the machine, or was not there, and was reloaded for another reason.
NOT_STALE = frozenset({Reason.NOT_UPDATABLE, Reason.UNSAFE, Reason.PENDING, Reason.NOT_LOADED, Reason.UNLOADED})

SILENT = frozenset({"lost", "refused", "configured"})  # kinds that say nothing about the image


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
    turns: Sequence[Entry] = ()  # starts and stops

    def of(self, phase: Phase) -> list[Span]:
        return [span for span in self.spans if span.phase is phase]

    def seconds(self, phase: Phase) -> float:
        return sum(span.seconds for span in self.of(phase))


@dataclass
class _Builder:
    spans: list[Span] = field(default_factory=list)
    since: float = 0.0
    phase: Phase = Phase.UNWATCHED
    sentence: str = ""

    def turn(self, at: float, phase: Phase, sentence: str) -> None:
        """Another phase begins; not before the one that is open."""
        at = max(at, self.since)
        if phase is self.phase:
            return
        if at > self.since:
            self.spans.append(Span(self.since, at, self.phase, self.sentence))
        self.since, self.phase, self.sentence = at, phase, sentence

    def request(self, entry: Entry) -> None:
        wrong = entry.outcome not in AFTER or (
            entry.outcome == Outcome.RELOADED and entry.reason not in NOT_STALE and bool(entry.reason)
        )
        if wrong and self.phase is not Phase.UNPROTECTED:
            self.turn(entry.when - max(entry.elapsed, entry.seconds), Phase.STALE, entry.sentence)
        if entry.unprotected:
            self.turn(entry.when - entry.unprotected, Phase.UNPROTECTED, entry.sentence)
        after = AFTER.get(entry.outcome, Phase.STALE)  # type: ignore[call-overload]
        if entry.armed is False and after is not Phase.STOPPED:
            after = Phase.UNPROTECTED
        self.turn(entry.when, after, entry.sentence)


def build(entries: Iterable[Entry], now: float | None) -> Timeline | None:
    """The timeline of entries, the oldest first; None of none.

    `now`: seconds since the epoch, where the last entry still holds; None: nothing is known of what came after it.
    """
    builder, requests, turns = _Builder(), [], []
    first = last = None
    for entry in entries:
        if first is None:
            first, builder.since = entry, entry.when - entry.elapsed
        elif last is not None and entry.boot != last.boot:
            # The machine went down some time after its last entry.
            builder.turn(last.when, Phase.UNWATCHED, "another boot")
        last = entry
        if entry.kind in ("started", "stopped"):
            turns.append(entry)
            builder.turn(entry.when, Phase.UNWATCHED, entry.sentence)
        elif entry.kind not in SILENT:
            builder.request(entry)
            if entry.events or entry.seconds or entry.kind not in ("current", "updated", "not loaded"):
                requests.append(entry)
    if first is None or last is None:
        return None
    end = max(last.when, now or 0.0)
    if end > builder.since:
        builder.spans.append(Span(builder.since, end, builder.phase, builder.sentence))
    begin = min(first.when - first.elapsed, builder.spans[0].begin if builder.spans else end)
    return Timeline(begin, end, builder.spans, requests, turns)
