# SPDX-License-Identifier: GPL-2.0-or-later
"""Show what happened: a line for every burst of hotplug, every reload and every start, from the journal.

Exit status: 0 the journal was read; 4 it can't be.
"""

import argparse
import dataclasses
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from kdumphpd.cli import exits, journalctl
from kdumphpd.cli.entries import Entry
from kdumphpd.cli.output import Coloured, Line, Row, Tone, field, note, show, wants_json
from kdumphpd.cli.words import moment

TONES = {
    "updated": Tone.GOOD,
    "current": Tone.GOOD,
    "reloaded": Tone.GOOD,
    "deferred": Tone.DOUBTFUL,
    "lost": Tone.DOUBTFUL,
    "no answer": Tone.DOUBTFUL,
    "unsafe": Tone.DOUBTFUL,
    "stale": Tone.DOUBTFUL,
    "refused": Tone.DOUBTFUL,
    "died": Tone.BAD,
    "failed": Tone.BAD,
    "missing": Tone.BAD,
}

TIME = len("2026-01-01 00:00:00 ")
WORD = len("unprotected ")

# What nobody has to see: a routine check that found nothing is a message for debugging.
PRIORITY = "info"


add_arguments = journalctl.add_arguments


def run(options: argparse.Namespace, root: Path) -> int:
    found = journalctl.read(options, PRIORITY)
    if not found:
        hint = "" if os.geteuid() == 0 else "; root, and members of systemd-journal and adm, may read all of it"
        note(options, f"no entries of kdumphpd's{hint}")
    if found or wants_json(options):
        show(options, {"entries": list(map(dataclasses.asdict, found))}, lines(found))
    return exits.ARMED


def lines(found: Iterable[Entry]) -> Iterator[Line]:
    """A line an entry; one between two boots."""
    boot = None
    for entry in found:
        if boot not in (None, entry.boot):
            yield "-- Boot --"
        boot = entry.boot
        yield line(entry.when, entry.kind, TONES.get(entry.kind), entry.sentence)


def line(when: float, word: str, tone: Tone | None, sentence: str) -> Row:
    """Time, a word, and the sentence."""
    padded = f"{word:<{WORD}}"
    return field(moment(when), Coloured(padded, tone) if tone else padded, sentence, width=TIME)
