# SPDX-License-Identifier: GPL-2.0-or-later
"""Draw what happened as a picture, an SVG on the standard output: kdumphpctl plot > kdump.svg

Exit status: 0 it was drawn; 3 the journal has nothing to draw; 4 it can't be read.
"""

import argparse
import dataclasses
import os
import sys
import time
from pathlib import Path

from kdumphpd.cli import exits, journalctl, output
from kdumphpd.cli.entries import Entry
from kdumphpd.cli.facts import INVOCATIONS, OURS
from kdumphpd.cli.output import fail, note
from kdumphpd.cli.svg import draw
from kdumphpd.cli.timeline import Timeline, build
from kdumphpd.sysfs import boot_id

# Routine checks too: an image that the operator has unloaded is found by one.
PRIORITY = "debug"


add_arguments = journalctl.add_arguments


def run(options: argparse.Namespace, root: Path) -> int:
    found = journalctl.read(options, PRIORITY)
    now = _now(options, root, found)
    monotonic = time.clock_gettime(time.CLOCK_MONOTONIC)  # as journald has it
    timeline = build(found, now, monotonic=monotonic, runs=_runs(root))
    if timeline is None:
        fail("the journal has no entries of kdumphpd's for that time, as far as this user may read it")
        return exits.NOT_LOADED
    if options.quiet:
        return exits.ARMED
    if output.wants_json(options):
        output.write(output.as_json(options.json, content(timeline)))
        return exits.ARMED
    if sys.stdout.isatty():
        note(options, "this is a picture: kdumphpctl plot > kdump.svg")
    output.write(draw(timeline, os.uname().nodename), end="")
    return exits.ARMED


def content(timeline: Timeline) -> dict[str, object]:
    """What is drawn, as data."""
    return {
        "begin": timeline.begin,
        "end": timeline.end,
        "spans": list(map(dataclasses.asdict, timeline.spans)),
        "requests": list(map(dataclasses.asdict, timeline.requests)),
    }


def _now(options: argparse.Namespace, root: Path, found: list[Entry]) -> float | None:
    """The time, where the last entry is of this boot, and nothing after it was left out."""
    if not found or options.until is not None:
        return None
    boot = boot_id(root).replace("-", "")  # as the journal writes it
    return time.time() if boot and found[-1].boot == boot else None


def _runs(root: Path) -> bool:
    """Whether the listener does. systemd makes a link for every unit that runs, and takes it away at its end."""
    link = root / f"{INVOCATIONS}{OURS}"
    return link.is_symlink() or not link.parent.is_dir()
