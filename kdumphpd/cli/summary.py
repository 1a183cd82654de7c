# SPDX-License-Identifier: GPL-2.0-or-later
"""A timeline in words: for the picture's own text, and for those who cannot see it. Pure but for the time zone."""

import math

from kdumphpd.cli.timeline import Phase, Span, Timeline
from kdumphpd.cli.words import count, moment

NOTABLE = 10  # lines
LONGEST = 122  # characters of a sentence

BAD = (Phase.UNPROTECTED, Phase.STALE)  # the worst first

UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def duration(seconds: float) -> str:
    """ "1.5 d", "2.3 h", "4 min", "12 s", "0.20 s"."""
    for size, unit in UNITS:
        if seconds >= size:
            value = seconds / size
            return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2f} s"


def summary(timeline: Timeline) -> list[str]:
    """Two lines: how much of the time was what, and what was done."""
    known = sum(span.seconds for span in timeline.spans if span.phase is not Phase.UNWATCHED)
    share = f"{_percent(timeline.seconds(Phase.PROTECTED) / known)} protected" if known else "nothing is known"
    parts = [f"{share} of {duration(known)}" if known else share]
    for phase in (Phase.STALE, Phase.UNPROTECTED, Phase.STOPPED):
        if spans := timeline.of(phase):
            longest = max(span.seconds for span in spans)
            more = f" in {len(spans)} spans, {duration(longest)} the longest" if len(spans) > 1 else ""
            parts.append(f"{phase} for {duration(timeline.seconds(phase))}{more}")
    requests = timeline.requests
    bursts = [entry for entry in requests if entry.events]
    events = sum(entry.events for entry in bursts)
    kinds = {
        "updated by the kernel": sum(entry.kind == "updated" for entry in bursts),
        "reloaded": sum(entry.kind == "reloaded" for entry in bursts),
        "in need of nothing": sum(entry.kind in ("current", "not loaded") for entry in bursts),
    }
    rest = len(bursts) - sum(kinds.values())
    told = [f"{number} {what}" for what, number in {**kinds, "otherwise": rest}.items() if number]
    done = f"{count(len(bursts), 'burst')} of {count(events, 'uevent')}{': ' if told else ''}{', '.join(told)}"
    loads = [entry for entry in requests if entry.method]
    failed = sum(entry.kind == "failed" for entry in requests)
    return [
        "; ".join(parts),
        f"{done}; {count(len(loads), 'reload')} in all{f', {failed} failed' if failed else ''}",
    ]


def describe(timeline: Timeline) -> str:
    """All that the picture shows, in sentences."""
    return " ".join(f"{line}." for line in (*summary(timeline), *map(", ".join, notable(timeline))))


def notable(timeline: Timeline) -> list[tuple[str, str, str]]:
    """The worst of it, the earliest first: when, what for how long, and the sentence of the journal."""
    groups: list[list[Span]] = []
    for span in timeline.spans:
        if span.phase not in BAD:
            continue
        last = groups[-1][-1] if groups else None
        # A burst's image is stale, then gone for a moment: one line.
        if last and last.end == span.begin and last.sentence == span.sentence:
            groups[-1].append(span)
        else:
            groups.append([span])
    worst = sorted(groups, key=lambda group: [-sum(s.seconds for s in group if s.phase is phase) for phase in BAD])
    return [_told(group) for group in sorted(worst[:NOTABLE], key=lambda group: group[0].begin)]


def _told(group: list[Span]) -> tuple[str, str, str]:
    # A phase that comes again is added up: the column has room for two.
    length: dict[Phase, float] = {}
    for span in group:
        length[span.phase] = length.get(span.phase, 0.0) + span.seconds
    what = ", ".join(f"{phase} for {duration(seconds)}" for phase, seconds in length.items())
    sentence = group[0].sentence
    shown = sentence if len(sentence) <= LONGEST else f"{sentence[: LONGEST - 3]}..."
    return moment(group[0].begin), what, shown


def _percent(share: float) -> str:
    """Rounded down, with as many nines as there are: 100 % only where it is that."""
    if share >= 1:
        return "100 %"
    digits = next((digits for digits in range(1, 6) if (1 - share) * 100 >= 10**-digits), 6)
    return f"{math.floor(share * 100 * 10**digits) / 10**digits:.{digits}f} %"
