# SPDX-License-Identifier: GPL-2.0-or-later
"""Show whether kdump is armed, and what kdumphpd has received and done.

Exit status: 0 armed, 1 the image is wrong or missing against the operator's wish, 3 no image is loaded, 4 that can't
be told, or kdumphpd does not run. Reading it disturbs nothing: crash_hotplug, which takes the kexec lock, is not
read.
"""

import argparse
import dataclasses
import time
from pathlib import Path

from kdumphpd import state
from kdumphpd.cli.exits import ARMED, NOT_LOADED, UNKNOWN, WRONG
from kdumphpd.cli.output import show
from kdumphpd.kernel.fadump import Fadump, read_fadump
from kdumphpd.kernel.loaded import image_loaded

YEAR_10000 = 253_402_300_800 - 86_400  # seconds since the epoch; a day less, for every time zone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(options: argparse.Namespace, root: Path) -> int:
    loaded, problem = _loaded(root)
    fadump = _fadump(root)
    try:
        known, absence = state.read(root), ""
    except state.StateError as error:
        known, absence = None, str(error)
    content = {
        "loaded": loaded,
        "problem": problem or absence,
        "fadump": dataclasses.asdict(fadump) if fadump else None,
        "listener": dataclasses.asdict(known) if known else None,
    }
    show(options, content, _lines(loaded, problem, fadump, known, absence))
    if known is None or loaded is None:
        return UNKNOWN
    if not known.healthy:
        return WRONG
    return ARMED if loaded else NOT_LOADED


def _loaded(root: Path) -> tuple[bool | None, str]:
    try:
        return image_loaded(root), ""
    except OSError as error:
        return None, f"cannot tell whether an image is loaded: {error}"


def _fadump(root: Path) -> Fadump | None:
    try:
        return read_fadump(root)
    except OSError:
        return None


def _lines(
    loaded: bool | None, problem: str, fadump: Fadump | None, known: state.State | None, absence: str
) -> list[str]:
    lines = [
        f"protected     {_protected(loaded, known)}",
        f"kdump image   {problem or ('loaded' if loaded else 'not loaded')}",
    ]
    if fadump and fadump.enabled:
        lines.append(f"fadump        {'registered' if fadump.registered else 'enabled, not registered'}")
    if known is None:
        return [*lines, f"kdumphpd      {absence}"]
    return [*lines, *_listener(known)]


def _protected(loaded: bool | None, known: state.State | None) -> str:
    if loaded is None:
        return "unknown"
    if not loaded:
        return "NO: a panic leaves no dump"
    if known is None:
        return "unknown: an image is loaded, but nobody keeps it up to date"
    return "yes" if known.healthy else "in part: an image is loaded, but a dump may miss something or fail"


def _listener(known: state.State) -> list[str]:
    lines = [f"kdumphpd      {known.status}", f"since         {_when(known.started)}"]
    if check := known.last_check:
        how = f", loaded with {check.method}" if check.method else ""
        lines.append(f"last check    {_when(check.when)}: {check.outcome}{how}")
    if known.pending:
        lines.append("pending       a reload has begun and not ended with an image")
    if known.deferred_until:
        lines.append(f"deferred      a reload, until {_when(known.deferred_until)}")
    if known.burst:
        lines.append("burst         uevents have arrived that are not handled yet")
    if known.asking:
        lines.append("asking        the helper is at work")
    if known.failure:
        lines.append(f"failure       {known.failure}")
    if not known.receiving:
        lines.append("uevents       not received: the socket cannot be opened")
    lines += [
        f"uevents       {known.events} ({known.synthetic} synthetic, {known.overflows} overflows)",
        f"bursts        {known.bursts} handled",
        f"requests      {known.checks} answered, {known.failures} failed",
        f"reloads       {known.reloads}, unprotected for {known.unprotected:.1f} s in all",
    ]
    if burst := known.last_burst:
        lines += [f"last burst    {_when(burst.ended)}", f"              {burst.sentence}"]
    return lines


def _when(seconds: float) -> str:
    """Local time. What the listener wrote may be no moment at all."""
    if not 0 < seconds < YEAR_10000:
        return "an unknown time"
    return time.strftime("%Y-%m-%d %H:%M:%S%z", time.localtime(seconds))
