# SPDX-License-Identifier: GPL-2.0-or-later
"""A timeline as an SVG picture. Pure: no library, no font and no script, readable on light and on dark.

How bad a phase is shows by its height as well as by its colour. What is too short for its width on the scale is a
hairline, and the lower the shorter it is. Whoever can't see it is told by <title> and <desc>, and by the text below.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape

from kdumphpd.cli.axis import ticks
from kdumphpd.cli.entries import Entry
from kdumphpd.cli.output import plain
from kdumphpd.cli.summary import describe, duration, notable, summary
from kdumphpd.cli.timeline import Phase, Timeline
from kdumphpd.cli.words import moment

WIDTH, LEFT, RIGHT = 1200, 112, 24  # units: pixels at 100 %
INNER = WIDTH - LEFT - RIGHT
COLUMNS = (24, 160, 440)  # of the text below
NARROWEST = 1.5
LOWEST = 0.3  # of its height, what is shorter than a pixel by LOW_DECADES powers of ten
LOW_DECADES = 6

LEVELS = (1, 10, 100, 1000, 10_000)  # events of a burst, on a logarithmic scale
HEIGHT = {Phase.PROTECTED: 10, Phase.STALE: 24, Phase.UNPROTECTED: 40, Phase.STOPPED: 10, Phase.UNWATCHED: 4}

# Class → colour on light and on dark, of the same contrast with the background.
COLOURS = {
    "back": ("#ffffff", "#0d1117"),
    "text": ("#1f2328", "#e6edf3"),
    "dim": ("#59636e", "#9198a1"),
    "grid": ("#e4e8ed", "#262c36"),
    "protected": ("#2da44e", "#3fb950"),
    "stale": ("#d4890b", "#e3a008"),
    "unprotected": ("#cf222e", "#ff6a62"),
    "stopped": ("#8c959f", "#6e7681"),
    "not-watched": ("#afb8c1", "#484f58"),
    "kernel": ("#0969da", "#58a6ff"),
    "reload": ("#8250df", "#bc8cff"),
    "nothing": ("#8c959f", "#8b949e"),
}
LEGEND = {
    "image": (
        ("protected", "protected"),
        ("stale", "stale"),
        ("unprotected", "unprotected"),
        ("stopped", "kdump stopped"),
        ("not-watched", "not watched"),
        ("", "a hairline is too short for the scale; the lower, the shorter"),
    ),
    "bursts": (
        ("kernel", "updated by the kernel"),
        ("reload", "reloaded"),
        ("nothing", "nothing to do"),
        ("stale", "deferred, or not right yet"),
        ("unprotected", "failed"),
    ),
}
NAMES = {  # the class of a burst by the kind of its entry
    "updated": "kernel",
    "reloaded": "reload",
    "current": "nothing",
    "not loaded": "nothing",
    "failed": "unprotected",
}
CHARACTER = 6.4  # the width of one in the small text; a guess, for the reader's font decides


@dataclass(frozen=True, slots=True)
class _Scale:
    begin: float
    end: float

    def x(self, at: float) -> float:
        share = (at - self.begin) / max(self.end - self.begin, 1e-9)
        return LEFT + INNER * min(1.0, max(0.0, share))


@dataclass(slots=True)
class _Mark:
    """Bursts or reloads that fall on one pixel."""

    x: float
    name: str
    entries: list[Entry] = field(default_factory=list)


def draw(timeline: Timeline, host: str) -> str:
    """The picture, in ASCII. `host`: whose history it is."""
    listed = notable(timeline)
    height = 440 + (17 * len(listed) + 26 if listed else 0)
    return "".join(f"{line}\n" for line in _document(timeline, host, listed, height))


def _document(timeline: Timeline, host: str, listed: list[tuple[str, str, str]], height: int) -> Iterator[str]:
    scale = _Scale(timeline.begin, timeline.end)
    title = f"kdump on {host}, {moment(timeline.begin)} to {moment(timeline.end)}"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-labelledby="title desc">'
    )
    yield f'<title id="title">{_safe(title)}</title>'
    yield f'<desc id="desc">{_safe(describe(timeline))}</desc>'
    yield from _style()
    yield f'<rect class="back" width="{WIDTH}" height="{height}"/>'
    yield _text(24, 34, title, "text head")
    for row, text in enumerate(summary(timeline)):
        yield _text(24, 58 + 18 * row, text, "dim")
    yield from _axis(scale, top=116, bottom=350)
    yield from _phases(scale, timeline, bottom=160)
    yield from _bursts(scale, timeline, top=186, bottom=266)
    yield from _updates(scale, timeline, y=293)
    yield from _reloads(scale, timeline, bottom=332)
    yield from _turns(scale, timeline, y=345)
    yield from _legend(402)
    if listed:
        yield _text(24, 456, "What stands out", "text")
        for row, columns in enumerate(listed):
            for x, text in zip(COLUMNS, columns, strict=True):
                yield _text(x, 475 + 17 * row, text, "dim small")
    yield "</svg>"


def _style() -> Iterator[str]:
    yield "<style>"
    yield "text { font: 12px system-ui, sans-serif } .head { font-size: 17px; font-weight: 600 }"
    yield ".small { font-size: 11px } .end { text-anchor: end } .mid { text-anchor: middle }"
    yield ".line { stroke-width: 1; fill: none } .stem { stroke-width: 1.5 }"
    for index in (0, 1):
        rules = " ".join(
            f".{name} {{ fill: {colours[index]} }} .line.{name} {{ stroke: {colours[index]} }}"
            for name, colours in COLOURS.items()
        )
        yield rules if index == 0 else f"@media (prefers-color-scheme: dark) {{ {rules} }}"
    yield "</style>"


def _axis(scale: _Scale, top: int, bottom: int) -> Iterator[str]:
    for tick in ticks(scale.begin, scale.end):
        x = scale.x(tick.at)
        yield f'<path class="line grid" d="M{x:.1f} {top}V{bottom}"/>'
        if x > LEFT + INNER - 12:
            continue  # its label would end outside
        yield _text(x, bottom + 16, tick.label, "dim mid")
        yield _text(x, bottom + 31, tick.over, "dim mid") if tick.over else ""
    yield f'<path class="line dim" d="M{LEFT} {bottom}H{LEFT + INNER}"/>'


def _phases(scale: _Scale, timeline: Timeline, bottom: int) -> Iterator[str]:
    yield _text(LEFT - 12, bottom - 4, "image", "dim end")
    # The worst last, so that nothing hides it.
    for phase in sorted(Phase, key=HEIGHT.__getitem__):
        for span in _merged(scale, timeline, phase):
            yield _bar(scale, span.begin, span.end, bottom, HEIGHT[phase], _name(phase), span.text)


@dataclass(slots=True)
class _Stretch:
    begin: float
    end: float
    text: str
    count: int = 1


def _merged(scale: _Scale, timeline: Timeline, phase: Phase) -> list[_Stretch]:
    """The spans of a phase; those that nobody could tell from each other as one."""
    runs: list[_Stretch] = []
    for span in timeline.of(phase):
        last = runs[-1] if runs else None
        if last and scale.x(span.begin) - scale.x(last.end) < 0.5:
            last.end, last.count = span.end, last.count + 1
            last.text = f"{phase}, {last.count} times from {moment(last.begin)} to {moment(span.end)}"
        else:
            said = f": {span.sentence}" if span.sentence else ""
            text = f"{phase} for {duration(span.seconds)} from {moment(span.begin)}{said}"
            runs.append(_Stretch(span.begin, span.end, text))
    return runs


def _bursts(scale: _Scale, timeline: Timeline, top: int, bottom: int) -> Iterator[str]:
    found = [entry for entry in timeline.requests if entry.events]
    most = max((entry.events for entry in found), default=1)
    largest = next((level for level in LEVELS if level >= most), LEVELS[-1])
    largest = max(largest, 10)
    yield _text(LEFT - 40, (top + bottom) / 2 + 4, "bursts", "dim end")
    for level in (level for level in LEVELS if level <= largest):
        y = _level(level, largest, top, bottom)
        yield f'<path class="line grid" d="M{LEFT} {y:.1f}H{LEFT + INNER}"/>'
        yield _text(LEFT - 6, y + 4, f"{level}", "dim end small")
    for entry in found:  # from the first event to the last, where that is to be seen
        begin = entry.when - entry.elapsed
        if scale.x(begin + entry.duration) - scale.x(begin) > NARROWEST:
            yield _bar(scale, begin, begin + entry.duration, bottom, 4, _kind(entry), _told([entry]))
    for mark in _marks(scale, found, begin=True):
        y = _level(max(entry.events for entry in mark.entries), largest, top, bottom)
        yield (
            f'<g class="{mark.name}"><title>{_safe(_told(mark.entries))}</title>'
            f'<path class="line stem {mark.name}" d="M{mark.x:.1f} {bottom}V{y:.1f}"/>'
            f'<circle cx="{mark.x:.1f}" cy="{y:.1f}" r="3"/></g>'
        )


def _level(events: int, largest: int, top: int, bottom: int) -> float:
    return bottom - (bottom - top) * min(1.0, (math.log10(max(1, events)) + 0.15) / (math.log10(largest) + 0.15))


def _updates(scale: _Scale, timeline: Timeline, y: int) -> Iterator[str]:
    yield _text(LEFT - 12, y + 4, "kernel updates", "dim end")
    for mark in _marks(scale, [entry for entry in timeline.requests if entry.kind == "updated"]):
        path = f"M{mark.x:.1f} {y - 6}l4 6l-4 6l-4 -6z"
        yield f'<path class="kernel" d="{path}"><title>{_safe(_told(mark.entries))}</title></path>'


def _reloads(scale: _Scale, timeline: Timeline, bottom: int) -> Iterator[str]:
    yield _text(LEFT - 12, bottom - 5, "reloads", "dim end")
    for mark in _marks(scale, [entry for entry in timeline.requests if entry.seconds or entry.kind == "failed"]):
        first, last = mark.entries[0], mark.entries[-1]
        name = "unprotected" if first.kind == "failed" else "reload"  # those of a mark are of one colour
        yield _bar(scale, first.when - first.seconds, last.when, bottom, 18, name, _told(mark.entries))


def _turns(scale: _Scale, timeline: Timeline, y: int) -> Iterator[str]:
    for entry in timeline.turns:
        x = scale.x(entry.when)
        shape = "l5 8h-10z" if entry.kind == "started" else "m-4 0h8v8h-8z"
        yield f'<path class="dim" d="M{x:.1f} {y - 4}{shape}"><title>{_safe(_told([entry]))}</title></path>'


def _marks(scale: _Scale, entries: Iterable[Entry], *, begin: bool = False) -> list[_Mark]:
    """Entries by pixel and colour."""
    found: dict[tuple[int, str], _Mark] = {}
    for entry in entries:
        x = scale.x(entry.when - entry.elapsed if begin else entry.when)
        name = _kind(entry)
        found.setdefault((round(x), name), _Mark(x, name)).entries.append(entry)
    return list(found.values())


def _kind(entry: Entry) -> str:
    return NAMES.get(entry.kind, "stale")


def _told(entries: list[Entry]) -> str:
    text = f"{moment(entries[0].when)}: {entries[0].sentence}"
    return text if len(entries) == 1 else f"{text} (and {len(entries) - 1} more until {moment(entries[-1].when)})"


def _legend(y: int) -> Iterator[str]:
    for row, (caption, items) in enumerate(LEGEND.items()):
        x, line = float(LEFT), y + 19 * row
        yield _text(x - 12, line, caption, "dim end")
        for name, text in items:
            if name:
                yield f'<rect class="{name}" x="{x:.0f}" y="{line - 9}" width="11" height="11" rx="2"/>'
                x += 17
            yield _text(x, line, text, "dim")
            x += CHARACTER * len(text) + 22


def _bar(scale: _Scale, begin: float, end: float, bottom: int, height: int, name: str, text: str) -> str:
    x, width = scale.x(begin), scale.x(end) - scale.x(begin)
    tall = float(height)
    if width < NARROWEST:
        decades = math.log10(NARROWEST / max(width, 1e-9))
        tall *= max(LOWEST, 1 - (1 - LOWEST) * decades / LOW_DECADES)
        x, width = min(x, LEFT + INNER - NARROWEST), NARROWEST
    place = f'x="{x:.1f}" y="{bottom - tall:.1f}" width="{width:.1f}" height="{tall:.1f}"'
    return f'<rect class="{name}" {place}><title>{_safe(text)}</title></rect>'


def _name(phase: Phase) -> str:
    return phase.replace(" ", "-")


def _text(x: float, y: float, text: str, names: str) -> str:
    return f'<text class="{names}" x="{x:.1f}" y="{y:.1f}">{_safe(text)}</text>'


def _safe(text: str) -> str:
    """Text of others for XML, in ASCII: what is no character of XML's is spelled out."""
    return escape(plain(text)).encode("ascii", "xmlcharrefreplace").decode("ascii")
