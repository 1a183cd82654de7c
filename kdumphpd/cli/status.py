# SPDX-License-Identifier: GPL-2.0-or-later
"""Show whether kdump is armed, and what kdumphpd has seen and done.

Exit status: 0 armed, 1 the image is wrong or missing against the operator's wish, 3 no image is loaded, 4 kdumphpd
is not running. Reading it disturbs nothing: crash_hotplug, which takes the kexec lock, is not asked.
"""

import argparse
import dataclasses
import json
from datetime import datetime
from pathlib import Path

from kdumphpd import state
from kdumphpd.kernel.fadump import Fadump, read_fadump
from kdumphpd.kernel.loaded import image_loaded

ARMED, WRONG, NOT_LOADED, NOT_RUNNING = 0, 1, 3, 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")


def run(options: argparse.Namespace, root: Path) -> int:
    loaded, problem = _loaded(root)
    fadump = _fadump(root)
    try:
        known, absence = state.read(root), ""
    except state.StateError as error:
        known, absence = None, str(error)
    if options.json:
        print(
            json.dumps(
                {
                    "loaded": loaded,
                    "problem": problem or absence,
                    "fadump": dataclasses.asdict(fadump) if fadump else None,
                    "listener": dataclasses.asdict(known) if known else None,
                },
                indent=1,
            )
        )
    else:
        print("\n".join(_lines(loaded, problem, fadump, known, absence)))
    if known is None:
        return NOT_RUNNING
    if not known.healthy:
        return WRONG
    return ARMED if loaded else NOT_LOADED


def _loaded(root: Path) -> tuple[bool, str]:
    try:
        return image_loaded(root), ""
    except OSError as error:
        return False, f"cannot tell whether an image is loaded: {error}"


def _fadump(root: Path) -> Fadump | None:
    try:
        return read_fadump(root)
    except OSError:
        return None


def _lines(loaded: bool, problem: str, fadump: Fadump | None, known: state.State | None, absence: str) -> list[str]:
    lines = [f"kdump image   {problem or ('loaded' if loaded else 'not loaded')}"]
    if fadump and fadump.enabled:
        lines.append(f"fadump        {'registered' if fadump.registered else 'enabled, not registered'}")
    if known is None:
        return [*lines, f"kdumphpd      {absence}"]
    lines += [
        f"kdumphpd      {known.status}",
        f"since         {_when(known.started)}",
        f"uevents       {known.events} ({known.synthetic} synthetic, {known.overflows} overflows)",
        f"storms        {known.storms} answered, {known.failures} of them in vain",
        f"reloads       {known.reloads}, with {known.unprotected:.1f} s without an image in all",
    ]
    if known.last:
        lines += [f"last storm    {_when(known.last.ended)}", f"              {known.last.sentence}"]
    return lines


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="seconds")
